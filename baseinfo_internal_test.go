package steadyhttp

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBaseInfo_WhoFailsTogetherIsNotAlone(t *testing.T) {
	t.Parallel()
	b, o := newBaseInfo(http.DefaultTransport), &origin{}
	o.calls.Store(1)
	assert.True(t, b.wasAlone(o, 0, time.Second), "the only one")
	o.calls.Store(2)
	assert.False(t, b.wasAlone(o, time.Second, 3*time.Second), "one of two")
	o.calls.Store(1)
	assert.False(t, b.wasAlone(o, 2*time.Second, 4*time.Second), "the other, when the first is gone")
	assert.True(t, b.wasAlone(o, 3*time.Second, 4*time.Second), "who came afterwards")
}

func TestBaseInfo_OnlyAnOwnFunctionChoosesProxies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		base http.RoundTripper
		want bool
	}{
		{&http.Transport{}, false},
		{&http.Transport{Proxy: http.ProxyFromEnvironment}, false},
		{&http.Transport{Proxy: http.ProxyURL(nil)}, true},
		{newBuiltInTransport(true), false},
	} {
		assert.Equal(t, c.want, newBaseInfo(c.base).choosesProxies())
	}
}

func TestBaseInfo_BuiltInTransportHasNoQueue(t *testing.T) {
	t.Parallel()
	assert.False(t, newBaseInfo(newBuiltInTransport(true)).mayQueue())
	assert.False(t, newBaseInfo(&http.Transport{}).mayQueue())
	assert.True(t, newBaseInfo(&http.Transport{MaxConnsPerHost: 1}).mayQueue())
}

// The built-in transport bounds the wait for a header where nothing else bounds the attempt.
func TestOverride_AttemptTimeoutIsInThePlaceOfTheBuiltInTransports(t *testing.T) {
	t.Parallel()
	limitOf := func(b *baseInfo) time.Duration {
		return b.RoundTripper.(*builtInTransport).RoundTripper.(*http.Transport).ResponseHeaderTimeout
	}
	for _, bounds := range []bool{true, false} {
		b := newBaseInfo(newBuiltInTransport(bounds))
		for range 2 {
			assert.Equal(t, headerTimeout, limitOf(b.within(0)))
			assert.Zero(t, limitOf(b.within(time.Hour)))
		}
		assert.NotSame(t, b.within(0), b.within(time.Hour))
		assert.Same(t, b.within(0), b.within(0))
	}
	b := newBaseInfo(&http.Transport{})
	assert.Same(t, b, b.within(time.Hour))
}
