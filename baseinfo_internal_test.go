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
		{newBuiltInTransport(0), false},
	} {
		assert.Equal(t, c.want, newBaseInfo(c.base).choosesProxies())
	}
}

func TestBaseInfo_BuiltInTransportHasNoQueue(t *testing.T) {
	t.Parallel()
	assert.False(t, newBaseInfo(newBuiltInTransport(0)).mayQueue())
	assert.False(t, newBaseInfo(&http.Transport{}).mayQueue())
	assert.True(t, newBaseInfo(&http.Transport{MaxConnsPerHost: 1}).mayQueue())
}
