package steadyhttp

import (
	"fmt"
	"strings"
	"time"
)

// String tells the policy in one line: each setting as name=value, in the order of the options, with
// "(default)" behind a value that is what it would be without options.
//
// It is fit for a log line at start-up, and for a golden test of a service's configuration; a new version
// may add settings. The names are those of the options, and so are the values, but for functions, of
// which it only says that there is one. Settings of a breaker or a budget that is off are left out.
// Timeout is the client's as it was when the client was made; Base is the type of the base transport.
func (t *Transport) String() string {
	if t.settings == nil {
		return "steadyhttp: no policy: a Transport is made by NewTransport"
	}
	usual := make(map[string]string)
	for _, s := range defaults().describe() {
		usual[s.name] = s.value
	}
	var line strings.Builder
	for i, s := range append(t.settings.describe(), t.describeBase()) {
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
func (c *config) describe() []setting {
	settings := []setting{
		{name: "MaxAttempts", value: fmt.Sprint(c.maxAttempts)},
		{name: "Backoff", value: c.backoff.describe()},
		{name: "MaxRetryAfter", value: c.maxRetryAfter.String()},
		{name: "Timeout", value: describeLimit(c.timeout)},
		{name: "AttemptTimeout", value: describeLimit(c.attemptTimeout)},
		{name: "RetryBudget", value: c.describeBudget()},
		{name: "RetryNonIdempotent", value: describeSwitch(c.retryNonIdempotent)},
		{name: "IdempotencyKeys", value: describeSwitch(c.idempotencyKeys)},
		{name: "ReplayBuffer", value: fmt.Sprint(c.replayBuffer)},
		{name: "Classifier", value: describeFunction(c.classifier != nil)},
		{name: "Observer", value: describeFunction(c.observe != nil)},
	}
	settings = append(settings, c.describeBreaker()...)
	return append(settings,
		setting{name: "OriginKey", value: describeFunction(c.originKey != nil)},
		setting{name: "OriginLimit", value: fmt.Sprint(c.originLimit)})
}

func (p *backoffPolicy) describe() string {
	if p.custom != nil {
		return "policy"
	}
	return fmt.Sprint(p.initial, ",", p.longest)
}

func (c *config) describeBudget() string {
	switch {
	case c.withoutBudget:
		return "off"
	case c.budget.fixed:
		return fmt.Sprint(c.budget.ratio, ",", c.budget.burst)
	default:
		return fmt.Sprint(c.budget.ratio, ",", c.budget.burst, ",growing")
	}
}

func (c *config) describeBreaker() []setting {
	if c.withoutBreaker {
		return []setting{{name: "Breaker", value: "off"}}
	}
	return []setting{
		{name: "Breaker", value: "on"},
		{name: "BreakerFailureRate", value: fmt.Sprint(c.breaker.rate, ",", c.breaker.minRequests)},
		{name: "BreakerConsecutive", value: fmt.Sprint(c.breaker.failures, ",", c.breaker.lasting)},
		{name: "BreakerWindow", value: c.breaker.window.String()},
		{name: "BreakerOpenFor", value: c.breaker.openFor.String()},
	}
}

// describeBase shows no more of a base than its type: it may hold secrets.
func (t *Transport) describeBase() setting {
	if !t.builtIn {
		return setting{name: "Base", value: fmt.Sprintf("%T", t.base)}
	}
	if t.settings.attemptTimeout > 0 {
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
