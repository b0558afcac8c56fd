package steadyhttp

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Override changes the policy of one call: with the returned context, options count for more than those of the
// [Transport].
//
// It takes the options that are harmless for one call: [WithMaxAttempts], [WithTimeout], [WithAttemptTimeout],
// [WithMaxRetryAfter], [WithBodyTimeout], [WithResume] and [WithReplayBuffer]. Any other one, an invalid value and a nil are
// errors of RoundTrip, which closes the request's body and sends nothing; the error joins one error for each. Of two options for
// one setting the later one counts, also of those of an earlier Override of the context. 0 turns a limit off, as it
// does for a Transport: over the built-in transport an attempt without a timeout then has 30 s for its header again, and
// one with a timeout has that time. Connections are not shared between calls with such a limit and calls without.
// A [WithTimeout] that is shorter than the attempt timeout is no error here: one call may be in a hurry.
// A call with more attempts than the Transport's [WithMaxAttempts] may make them although others' retries are suspended. It
// may still end before its last one: that setting decides when the breaker opens, see [WithBreakerConsecutiveFailures].
//
// A [Report] tells what was overridden. When a client follows redirects, it holds for each of them. It holds as well for
// what the base transport calls through a Transport with the request's context, to fetch a token for example.
// Without it a call costs nothing more; with it some allocations. The context may be used by several calls at once.
func Override(ctx context.Context, options ...Option) context.Context {
	o := *callOptionsOf(ctx)
	o.overrides = append(slices.Clip(o.overrides), options...)
	return o.in(ctx)
}

// override returns the policy of one call; the Transport's, if the options are wrong. The breaker, the budget and all else
// that calls share stay the Transport's.
func (p *policy) override(options *callOptions) (*policy, error) {
	own := *p
	var errs []error
	for i, o := range options.overrides {
		errs = append(errs, own.overrideBy(i, o))
	}
	if err := joinErrors(errs...); err != nil {
		return p, err
	}
	for _, r := range options.reporters {
		r.setOverridden(own.overridden(options.overrides))
	}
	return &own, nil
}

func (p *policy) overrideBy(i int, o Option) error {
	if isNil(o) {
		return fmt.Errorf("steadyhttp: Override: option %d is nil", i+1)
	}
	if s, ok := o.(setter); !ok || !s.perCall {
		return fmt.Errorf("steadyhttp: Override: option %d is %s, which is for a whole Transport and not for one call", i+1, nameOfOption(o))
	}
	return o.apply(p)
}

func nameOfOption(o Option) string {
	if s, ok := o.(setter); ok {
		return s.name
	}
	return fmt.Sprintf("a %T", o)
}

// overridden tells each of these settings as [Transport.String] does.
func (p *policy) overridden(options []Option) []string {
	var told []string
	for _, s := range p.describe() {
		isIt := func(o Option) bool { return strings.TrimPrefix(nameOfOption(o), "With") == s.name }
		if slices.ContainsFunc(options, isIt) {
			told = append(told, s.name+"="+s.value)
		}
	}
	return told
}
