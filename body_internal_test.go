package steadyhttp

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A statelessBody is somebody's own, of which nothing is known.
type statelessBody struct{}

func (statelessBody) Read([]byte) (int, error) { return 0, io.EOF }
func (statelessBody) Close() error             { return nil }

func TestBody_IsEmptyWhereNetHTTPSaysSo(t *testing.T) {
	t.Parallel()
	assert.True(t, isEmpty(nil))
	assert.True(t, isEmpty(http.NoBody))
	assert.False(t, isEmpty(statelessBody{}))
	assert.False(t, isEmpty(io.NopCloser(strings.NewReader(""))))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "missing" {
			w.Header().Set("Content-Length", "10")
			return
		}
		_, _ = io.WriteString(w, r.URL.RawQuery)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	for _, content := range []string{"", "content", "missing"} {
		response, err := server.Client().Get(server.URL + "?" + content)
		require.NoError(t, err)
		assert.Equal(t, 2, response.ProtoMajor)
		assert.Equal(t, content == "", isEmpty(response.Body))
		require.NoError(t, response.Body.Close())
	}
}
