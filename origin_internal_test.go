package steadyhttp

import (
	"net/http"
	"net/url"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

func TestRegistry_ForgottenOriginStaysForgotten(t *testing.T) {
	t.Parallel()
	o := &origin{}
	assert.True(t, o.forget(0))
	assert.False(t, o.acquire())
	assert.EqualValues(t, forgotten, o.calls.Load())
}

func TestRegistry_KeepsNoURL(t *testing.T) {
	t.Parallel()
	c, err := newPolicy(nil)
	assert.NoError(t, err)
	for _, host := range []string{"api.example.com", "API.example.com:443"} {
		target, err := url.Parse("https://" + host + "/a-long-path")
		assert.NoError(t, err)
		o := newRegistry(c, time.Now()).acquire(&http.Request{URL: target})
		kept := []string{o.key.host}
		if o.asWritten != nil {
			kept = append(kept, o.asWritten.host)
			assert.Equal(t, host, o.asWritten.host)
		}
		for _, text := range kept {
			assert.NotSame(t, unsafe.StringData(target.Host), unsafe.StringData(text))
		}
		assert.Equal(t, "api.example.com", o.key.host)
		assert.True(t, o.isWritten(originKey{"https", host}))
	}
}
