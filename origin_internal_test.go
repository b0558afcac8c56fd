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

// An origin that has the spelling of another one for its key would be found in the other's place.
func TestOrigin_KeyIsItsOwnCanonicalForm(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"a":              "a",
		"A":              "a",
		"a:":             "a",
		"a:443":          "a",
		"a:0443":         "a:0443",
		"a:80":           "a:80",
		"a:443:":         "a:443:",
		"a:443:443":      "a:443:443",
		"a::":            "a::",
		":443":           "",
		"":               "",
		"[::1]":          "[::1]",
		"[::1]:":         "[::1]",
		"[::1]:443":      "[::1]",
		"[::1]:443:443":  "[::1]:443:443",
		"[FE80::1%EN0]:": "[fe80::1%en0]",
		"::1":            "::1",
		"::443":          "::443",
		"BÜCHER.example": "bücher.example",
		"\u0130\xff":     "i\ufffd",
	} {
		key := originKey{"HTTPS", host}.canonical()
		assert.Equal(t, originKey{"https", want}, key, host)
		assert.Equal(t, key, key.canonical(), host)
		named, _, _ := parseOrigin(key.name())
		if host != "\u0130\xff" { // no URL
			assert.Equal(t, key, named, host)
		}
	}
}

func TestOrigin_SpellingsThatAreNoHostsMoveNoOther(t *testing.T) {
	t.Parallel()
	c, err := newPolicy(nil)
	assert.NoError(t, err)
	r := newRegistry(c, time.Now())
	find := func(host string) *origin {
		o := r.acquire(&http.Request{URL: &url.URL{Scheme: "https", Host: host}}, nil)
		o.release()
		return o
	}
	for _, odd := range []string{"a:443:", "a:443:443", "a::"} {
		find(odd)
	}
	for _, spelling := range []string{"a:443", "a:", "A"} {
		assert.Same(t, find("a"), find(spelling), spelling)
	}
}

func TestOrigin_KeyOfTheUsersIsAskedForOfAnEmptyURLToo(t *testing.T) {
	t.Parallel()
	key := ""
	c, err := newPolicy([]Option{WithOriginKey(func(*http.Request) string { return key })})
	assert.NoError(t, err)
	r, request := newRegistry(c, time.Now()), &http.Request{URL: &url.URL{}}
	first := r.acquire(request, nil)
	key = "other"
	assert.Equal(t, "other", r.acquire(request, first).name)
}
