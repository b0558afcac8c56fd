package steadyhttp

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

func TestBudgetIsNotFilledTwiceByACallThatComesLate(t *testing.T) {
	t.Parallel()
	b := newBudget(&budgetPolicy{burst: 1}, 0)
	assert.True(t, b.spend(0))
	assert.False(t, b.spend(9*time.Second))
	assert.False(t, b.spend(time.Second))
	assert.False(t, b.spend(9500*time.Millisecond))
	assert.True(t, b.spend(10100*time.Millisecond))
}

func TestWindowCatchesUpAtOnce(t *testing.T) {
	t.Parallel()
	w := newWindow(10 * time.Millisecond)
	start := time.Now()
	w.current(1<<62).requests++
	assert.Less(t, time.Since(start), time.Second)
}

func TestForgottenOriginStaysForgotten(t *testing.T) {
	t.Parallel()
	o := &origin{}
	assert.True(t, o.forget(0))
	assert.False(t, o.enter())
	assert.EqualValues(t, forgotten, o.calls.Load())
}

func TestRegistryHoldsOnToNoURL(t *testing.T) {
	t.Parallel()
	c, err := newConfig(nil)
	assert.NoError(t, err)
	target, err := url.Parse("https://api.example.com/a-long-path")
	assert.NoError(t, err)
	o := newRegistry(&c.policy, time.Now()).enter(&http.Request{URL: target})
	for _, kept := range []string{o.key.host, o.spelt.host} {
		assert.Equal(t, target.Host, kept)
		assert.NotSame(t, unsafe.StringData(target.Host), unsafe.StringData(kept))
	}
}

func TestBuiltInTransportWaitsForAHeaderUnlessTheAttemptTimeoutDoes(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 30*time.Second, pooledTransport(0).(*http.Transport).ResponseHeaderTimeout)
	assert.Zero(t, pooledTransport(time.Minute).(*http.Transport).ResponseHeaderTimeout)
}

// gobreaker counts every call of done, also the second one for the same request.
func TestProbeThatReportsTwiceIsCountedOnce(t *testing.T) {
	t.Parallel()
	for _, first := range []verdict{neutral, healthy, failing} {
		synctest.Test(t, func(t *testing.T) {
			policy := defaults().breaker
			policy.epoch, policy.lease = time.Now(), time.Minute
			b := newBreaker("a", &policy)
			b.decide(t.Context(), failing)
			time.Sleep(2 * policy.openFor)
			b.wake(t.Context())
			now := time.Since(policy.epoch)
			granted, rejection := b.admit(now)
			assert.Nil(t, rejection)
			b.count(t.Context(), granted, &outcome{verdict: first, start: now, at: now})
			after := b.state()
			assert.False(t, b.count(t.Context(), granted, &outcome{verdict: failing, start: now, at: now}))
			assert.False(t, b.count(t.Context(), granted, &outcome{verdict: healthy, start: now, at: now}))
			assert.Equal(t, after, b.state())
		})
	}
}
