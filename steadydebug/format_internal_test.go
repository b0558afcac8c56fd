package steadydebug

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFormat_IsTheOneThatAcceptPrefers(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]format{
		"":                 formatText,
		"*/*":              formatText, // curl
		"text/html":        formatHTML,
		"TEXT/HTML":        formatHTML,
		"application/json": formatJSON,
		"text/plain":       formatText,
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8": formatHTML, // a browser
		"application/json, text/plain, */*":                                                     formatJSON, // axios
		"text/html, application/json":                                                           formatHTML,
		"application/json, text/html":                                                           formatJSON,
		"text/html;q=0.5, application/json;q=0.9":                                               formatJSON,
		"text/html;q=0.5, application/json;q=0.4":                                               formatHTML,
		"text/html ; q=0.5 , */* ; q=0.1":                                                       formatHTML,
		"text/html;level=1;q=0.2, text/plain;q=0.3":                                             formatText,
		"text/html;Q=0.2, application/json;Q=0.3":                                               formatJSON,
		"application/*":                  formatJSON,
		"text/*":                         formatText,
		"text/*, application/json;q=0.9": formatText,
		"text/plain;q=0, */*":            formatJSON,
		"text/plain;q=0, application/json;q=0, */*":            formatHTML,
		"text/*;q=0.1, text/html;q=0.9, application/json;q=.5": formatHTML,
		"*/*, text/html;q=0.1":                                 formatText,
		"*/*, application/json":                                formatJSON,
		"image/png":                                            formatText, // rather than a 406
		"text/html;q=0":                                        formatText,
		"text/html;q=2, application/json;q=0.1":                formatJSON, // what is wrong counts as absent
		"text/html;q=x, application/json;q=0.1":                formatJSON,
		"text/html;q=NaN":                                      formatText,
		"text/html;q=-1":                                       formatText,
		",,;q=1,/,*":                                           formatText,
		"application/json;charset=utf-8":                       formatJSON,
		"application/problem+json":                             formatText,
	} {
		assert.Equal(t, want, negotiate([]string{accept}), "%q", accept)
	}
}

func TestFormat_SeveralAcceptHeadersAreOneList(t *testing.T) {
	t.Parallel()
	assert.Equal(t, formatJSON, negotiate([]string{"text/html;q=0.5", "application/json"}))
	assert.Equal(t, formatText, negotiate(nil))
}

func TestFormat_OfTheQueryWinsOverAccept(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]format{"format=json": formatJSON, "format=text": formatText, "format=html": formatHTML, "other=x": formatHTML} {
		r := httptest.NewRequest(http.MethodGet, "/?"+query, nil)
		r.Header.Set("Accept", "text/html")
		got, err := formatOf(r)
		require.NoError(t, err)
		assert.Equal(t, want, got, query)
	}
}

func TestFormat_WrongQueryIsAnErrorThatNamesTheValue(t *testing.T) {
	t.Parallel()
	for query, named := range map[string]string{"format=xml": `"xml"`, "format=": `""`, "format=JSON": `"JSON"`, "a;b": "semicolon", "format=%zz": "%zz"} {
		_, err := formatOf(httptest.NewRequest(http.MethodGet, "/?"+query, nil))
		assert.ErrorContains(t, err, named, query)
	}
}
