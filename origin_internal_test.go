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
	target, err := url.Parse("https://api.example.com/a-long-path")
	assert.NoError(t, err)
	o := newRegistry(c, time.Now()).acquire(&http.Request{URL: target}, nil)
	for _, kept := range []string{o.key.host, o.asWritten.host} {
		assert.Equal(t, target.Host, kept)
		assert.NotSame(t, unsafe.StringData(target.Host), unsafe.StringData(kept))
	}
}
