package steadydebug

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/steadyhttp/steadyhttp"
)

func TestWords_WorstOriginsComeFirst(t *testing.T) {
	t.Parallel()
	inState := func(name string, state steadyhttp.BreakerState, isolated bool) origin {
		return origin{Origin: name, Breaker: &breaker{State: state, Isolated: isolated}}
	}
	suspended, paused := inState("suspended", steadyhttp.BreakerClosed, false), origin{Origin: "paused", Pause: pause{State: steadyhttp.PausePaused}}
	suspended.RetriesSuspended = true
	shown := transport{Origins: []origin{
		inState("a", steadyhttp.BreakerClosed, false), {Origin: "b"}, suspended, paused,
		inState("half-open", steadyhttp.BreakerHalfOpen, false), inState("open", steadyhttp.BreakerOpen, false), inState("isolated", steadyhttp.BreakerOpen, true),
	}}
	var names []string
	for _, o := range shown.worstFirst() {
		names = append(names, o.Origin)
	}
	assert.Equal(t, []string{"isolated", "open", "half-open", "paused", "suspended", "a", "b"}, names)
	assert.Equal(t, "7 origins: 1 isolated, 1 open, 1 half-open, 1 paused, 1 with retries suspended", snapshot{Transports: []transport{shown}}.headline())
	assert.Equal(t, "a", shown.Origins[0].Origin, "the JSON keeps its order")
}

func TestWords_PauseSaysUntilWhenIfItIsKnown(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	assert.Empty(t, origin{}.pause(now))
	assert.Equal(t, "releasing", origin{Pause: pause{State: steadyhttp.PauseReleasing}}.pause(now))
	assert.Equal(t, "paused", origin{Pause: pause{steadyhttp.PausePaused, now}}.pause(now))
	assert.Equal(t, "paused until 2026-01-02 15:04:35 UTC, in 30s", origin{Pause: pause{steadyhttp.PausePaused, now.Add(30 * time.Second)}}.pause(now))
}

func TestWords_DurationsHaveTheDigitsThatOneWants(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 1234 * time.Millisecond: "1.2s", 12345 * time.Millisecond: "12s", time.Hour: "1h0m0s",
	} {
		assert.Equal(t, want, readable(d))
	}
}

// The type of a base may have spaces in it.
func TestWords_SettingsAreThoseOfTheTransport(t *testing.T) {
	t.Parallel()
	shown := transport{Policy: "MaxAttempts=4(default) Breaker=off Base=*x.T[map[string]interface {}]"}
	assert.Equal(t, []setting{{"MaxAttempts=4", true}, {"Breaker=off", false}, {"Base=*x.T[map[string]interface {}]", false}}, shown.settings())
	assert.Equal(t, []setting{{"none", false}}, transport{Policy: "none"}.settings())
}
