package steadyhttp

import (
	"fmt"
	"strings"
	"time"
)

// String tells the policy in one line: each setting as name=value, in the order of the options, with
// "(default)" behind a value that is what it would be without options.
//
// It is fit for a log line at start-up, and for a golden test of a service's configuration, whose golden
// file changes when a new version adds settings. The names are those of the options, and so are the values, but for functions, of
// which it only says that there is one. Settings of a breaker or a budget that is off are left out.
// Timeout is that of [WithTimeout], not the client's; Base is the type of the base transport.
func (t *Transport) String() string {
	if t.policy == nil {
		return "steadyhttp: no policy: a Transport is made by NewTransport"
	}
	usual := make(map[string]string)
	for _, s := range defaultPolicy().describe() {
		usual[s.name] = s.value
	}
	var line strings.Builder
	for i, s := range append(t.policy.describe(), t.describeBase()) {
		if i > 0 {
			line.WriteByte(' ')
		}
		fmt.Fprint(&line, s.name, "=", s.value)
		if value, ok := usual[s.name]; ok && value == s.value || s.usual {
			line.WriteString("(default)")
		}
	}
	return line.String()
}

// A setting is one that can be told of.
type setting struct {
	name, value string
	usual       bool // whatever the value
}

// describe lists the settings that have an effect.
func (p *policy) describe() []setting {
	settings := []setting{
		{name: "MaxAttempts", value: fmt.Sprint(p.maxAttempts)},
		{name: "Backoff", value: p.backoff.describe()},
		{name: "MaxRetryAfter", value: p.maxRetryAfter.String()},
		{name: "Hints", value: describeCount(len(p.hints))},
		{name: "Timeout", value: describeLimit(p.timeout)},
		{name: "AttemptTimeout", value: describeLimit(p.attemptTimeout)},
		{name: "BodyTimeout", value: describeLimit(p.bodyTimeout)},
		{name: "Resume", value: describeSwitch(p.resume)},
		{name: "RetryBudget", value: p.describeBudget()},
		{name: "RetryNonIdempotent", value: describeSwitch(p.retryNonIdempotent)},
		{name: "IdempotencyKeys", value: describeSwitch(p.idempotencyKeys)},
		{name: "AttemptHeader", value: describeName(p.attemptHeader)},
		{name: "ReplayBuffer", value: fmt.Sprint(p.replayBuffer)},
		{name: "Classifier", value: describeFunction(p.classifier != nil)},
		{name: "Observer", value: describeFunction(p.observe != nil)},
	}
	settings = append(settings, p.describeBreaker()...)
	settings = append(settings, p.describePause()...)
	return append(settings,
		setting{name: "OriginKey", value: describeFunction(p.originKey != nil)},
		setting{name: "OriginLimit", value: fmt.Sprint(p.originLimit)})
}

func (p *backoffPolicy) describe() string {
	if p.custom != nil {
		return "policy"
	}
	return fmt.Sprint(p.initial, ",", p.max)
}

func (p *policy) describeBudget() string {
	switch {
	case p.withoutBudget:
		return "off"
	case p.budget.fixed:
		return fmt.Sprint(p.budget.ratio, ",", p.budget.burst)
	default:
		return fmt.Sprint(p.budget.ratio, ",", p.budget.burst, ",growing")
	}
}

func (p *policy) describeBreaker() []setting {
	if p.withoutBreaker {
		return []setting{{name: "Breaker", value: "off"}}
	}
	return []setting{
		{name: "Breaker", value: p.describeMode()},
		{name: "BreakerConsecutiveFailures", value: p.breaker.failures.String()},
		{name: "BreakerConsecutiveTimeouts", value: p.breaker.timeouts.String()},
		{name: "BreakerFailureRate", value: p.breaker.describeRate()},
		{name: "BreakerWindow", value: p.breaker.window.String()},
		{name: "BreakerOpenFor", value: p.breaker.openFor.String()},
		{name: "Fleet", value: describeFunction(p.fleet != nil)},
	}
}

func (p *policy) describeMode() string {
	if p.shadowBreaker {
		return "shadow"
	}
	return "on"
}

func (p *policy) describePause() []setting {
	if !p.pause.on {
		return []setting{{name: "OriginPause", value: "off"}}
	}
	if p.pause.key != nil {
		return []setting{{name: "OriginPause", value: fmt.Sprint(p.pause.waiters, ",keyed")}}
	}
	return []setting{{name: "OriginPause", value: fmt.Sprint(p.pause.waiters)}}
}

func (p *breakerPolicy) describeRate() string {
	if p.rate == 0 {
		return "off"
	}
	return fmt.Sprint(p.rate, ",", p.minRequests)
}

// describeBase shows no more of a base than its type: it may hold secrets.
func (t *Transport) describeBase() setting {
	if !t.builtIn {
		return setting{name: "Base", value: fmt.Sprintf("%T", t.base)}
	}
	if t.policy.attemptTimeout > 0 {
		return setting{name: "Base", value: "pooled", usual: true}
	}
	return setting{name: "Base", value: "pooled,header=" + headerTimeout.String(), usual: true}
}

func describeLimit(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return d.String()
}

func describeCount(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

func describeName(name string) string {
	if name == "" {
		return "none"
	}
	return name
}

func describeSwitch(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func describeFunction(set bool) string {
	if set {
		return "set"
	}
	return "none"
}
