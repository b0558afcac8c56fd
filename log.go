package steadyhttp

import (
	"context"
	"fmt"
	"log/slog"
)

// LogObserver returns an observer for [WithObserver] that writes one record for each [Event].
//
// Attempts are logged at debug, and so is the end of a call, unless something is wrong with the server: a call
// that ends otherwise than with a [Success], a [ClientFault] or its caller giving up is a warning, and so is a
// retry, a body that breaks, a breaker that opens and a pause that begins. Every other change of a breaker or a pause is
// info, also that it opens again after a probe has failed. A call that an open breaker or a pause rejected, of which
// nothing was sent, is logged at debug: there may be thousands for one warning. So is a body that is not resumed because
// its caller gave up. So a healthy service logs nothing above debug, and each decision is one line.
//
// The message is "steadyhttp: " and the kind of the event. The keys are origin, method, url (without
// userinfo, query and fragment), attempt, class, status (where there is a response), error (without the
// userinfo and query of URLs in it), and duration, held (if a pause held it back) and shadow (if only a shadow breaker let
// it through) for an attempt, wait for a retry, stopped for the end of a call, offset, and wait or stopped, for a body that
// breaks; for a breaker and a pause the keys are origin, from and to, and for a breaker reason (if it was by hand or by a
// fleet) and shadow (if it rejects nothing). The keys are stable. docs/observability.md describes them.
//
// A nil logger gives a nil observer, which WithObserver refuses.
func LogObserver(logger *slog.Logger) Observer {
	if logger == nil {
		return nil
	}
	return func(ctx context.Context, event Event) {
		if level := event.level(); logger.Enabled(ctx, level) {
			logger.LogAttrs(ctx, level, "steadyhttp: "+event.Kind.String(), event.attributes()...)
		}
	}
}

// LogValue is a group with the keys that [LogObserver] writes, and the kind. Other than the event itself, it
// holds no secrets.
func (e Event) LogValue() slog.Value {
	return slog.GroupValue(append([]slog.Attr{slog.String("kind", e.Kind.String())}, e.attributes()...)...)
}

func (e Event) level() slog.Level {
	switch {
	case e.Kind == EventBreaker && e.To == BreakerOpen && (e.From == BreakerClosed || e.Reason != reasonFailures):
		return slog.LevelWarn
	case e.Kind == EventBreaker:
		return slog.LevelInfo
	case e.Kind == EventPause && e.PauseTo == PausePaused:
		return slog.LevelWarn
	case e.Kind == EventPause:
		return slog.LevelInfo
	case e.Kind == EventRetry, e.Kind == EventResume && e.Stopped != StopCanceled, e.Kind == EventEnd && !e.harmless():
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

// harmless reports whether the end of a call tells nothing bad of the server that was not told before. A Classifier
// may take an error for a Success.
func (e Event) harmless() bool {
	rejected := e.Attempt == 0 && (e.Stopped == StopCircuitOpen || e.Stopped == StopPaused)
	return rejected || e.Class == Success || e.Class == ClientFault || e.Class == Canceled
}

func (e Event) attributes() []slog.Attr {
	switch e.Kind {
	case EventBreaker:
		return append(fromTo(e.Origin, e.From, e.To), e.breakerDetails()...)
	case EventPause:
		return fromTo(e.Origin, e.PauseFrom, e.PauseTo)
	}
	return append(append(e.outcome(), e.decision()...), e.shadow()...)
}

// fromTo is what is told of a breaker or a pause.
func fromTo(origin string, from, to fmt.Stringer) []slog.Attr {
	return []slog.Attr{slog.String("origin", origin), slog.String("from", from.String()), slog.String("to", to.String())}
}

// breakerDetails are left out where there is nothing to tell.
func (e Event) breakerDetails() (details []slog.Attr) {
	if e.Reason != "" && e.Reason != reasonFailures {
		details = append(details, slog.String("reason", e.Reason))
	}
	return append(details, e.shadow()...)
}

func (e Event) shadow() []slog.Attr {
	if !e.Shadow || e.Kind != EventAttempt && e.Kind != EventBreaker {
		return nil
	}
	return []slog.Attr{slog.Bool("shadow", true)}
}

// outcome is what the last attempt came to.
func (e Event) outcome() []slog.Attr {
	attributes := []slog.Attr{slog.String("origin", e.Origin)}
	if e.Request != nil {
		attributes = append(attributes, slog.String("method", methodOf(e.Request)), slog.String("url", redact(e.Request.URL)))
	}
	attributes = append(attributes, slog.Int("attempt", e.Attempt), slog.String("class", e.Class.String()))
	if e.StatusCode != 0 {
		attributes = append(attributes, slog.Int("status", e.StatusCode))
	}
	if e.Err != nil {
		attributes = append(attributes, slog.String("error", causeText(e.Err)))
	}
	return attributes
}

func (e Event) decision() []slog.Attr {
	wait, stopped := slog.Duration("wait", e.Wait), slog.String("stopped", e.Stopped.String())
	switch {
	case e.Kind == EventRetry:
		return []slog.Attr{wait}
	case e.Kind == EventEnd:
		return []slog.Attr{stopped}
	case e.Kind == EventResume && e.Stopped == 0:
		return []slog.Attr{slog.Int64("offset", e.Offset), wait}
	case e.Kind == EventResume:
		return []slog.Attr{slog.Int64("offset", e.Offset), stopped}
	case e.Held > 0:
		return []slog.Attr{slog.Duration("duration", e.Duration), slog.Duration("held", e.Held)}
	default:
		return []slog.Attr{slog.Duration("duration", e.Duration)}
	}
}
