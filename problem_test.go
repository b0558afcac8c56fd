package steadyhttp_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/steadyhttp/steadyhttp"
)

func TestProblem_MembersAreReadEachByItself(t *testing.T) {
	t.Parallel()
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	for content, want := range map[string]*steadyhttp.Problem{
		`{}`: {Type: "about:blank"},
		`{"type":"https://e/t","title":"T","detail":"D","instance":"https://e/i","status":403}`: {
			Type: "https://e/t", Title: "T", Detail: "D", Instance: "https://e/i", Status: 403,
		},
		`{"type":7,"title":["T"],"detail":{},"instance":true,"status":"403"}`:    {Type: "about:blank"},
		`{"type":null,"title":null,"detail":null,"instance":null,"status":null}`: {Type: "about:blank"},
		`{"title":"T","status":40.5,"detail":7}`:                                 {Type: "about:blank", Title: "T"},
		`{"Title":"T","balance":30,"accounts":["/a", "/b"]}`: {Type: "about:blank", Extensions: map[string]json.RawMessage{
			"Title": raw(`"T"`), "balance": raw(`30`), "accounts": raw(`["/a", "/b"]`),
		}},
	} {
		assert.Equal(t, want, parseProblem(t, "application/problem+json", content), content)
	}
}

func TestProblem_ReferencesAreResolvedAgainstTheBareURL(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"/types/a":         "https://api.example.com/types/a",
		"b?c#d":            "https://api.example.com/v1/b?c#d",
		"//other/x":        "https://other/x",
		"#here":            "https://api.example.com/v1/things#here",
		"tag:e,2026:x/../": "tag:e,2026:x/../",
		"https://e/a/../b": "https://e/a/../b",
		"%zz":              "%zz",
		"":                 "",
	} {
		response := newResponse(400, strings.NewReader(`{"type":"`+said+`","instance":"`+said+`"}`), "Content-Type", "application/problem+json")
		response.Request.URL, _ = url.Parse("https://user:hunter2@api.example.com/v1/things?token=hunter2")
		got := checkResponse(t, response).Problem
		assert.Equal(t, want, got.Type)
		assert.Equal(t, want, got.Instance)
		assert.NotContains(t, got.Type, "hunter2")
	}
	const relative = `{"type":"a"}`
	for _, request := range []*http.Request{nil, {}} {
		response := newResponse(400, strings.NewReader(relative), "Content-Type", "application/problem+json")
		response.Request = request
		assert.Equal(t, "a", checkResponse(t, response).Problem.Type)
	}
}

func TestProblem_IsKnownByItsMediaTypeWithAnyParameters(t *testing.T) {
	t.Parallel()
	for contentType, known := range map[string]bool{
		"application/problem+json":                      true,
		"Application/Problem+JSON; charset=utf-8":       true,
		" application/problem+json ;profile=\"a;b\"":    true,
		"application/problem+json; charset":             true,
		"application/problem+json; v=1; v=2":            true,
		"application/problem+json, text/plain":          false,
		"application/json":                              false,
		"application/problem+xml":                       false,
		"text/plain; type=\"application/problem+json\"": false,
		"application/problem+jsonp":                     false,
		"":                                              false,
	} {
		assert.Equal(t, known, parseProblem(t, contentType, `{"title":"T"}`) != nil, contentType)
	}
}

func TestProblem_IsExactlyOneWholeObject(t *testing.T) {
	t.Parallel()
	for _, content := range []string{
		"", "null", "[]", `"title"`, "7", `{"title":"T"`, `{"title":"T"} x`, "<html>",
		strings.Repeat(`{"a":`, 1500), strings.Repeat("[", 8000),
		`{"title":"T","long":"` + strings.Repeat("x", 8<<10) + `"}`,
	} {
		assert.Nil(t, parseProblem(t, "application/problem+json", content), content)
	}
	deep := `{"title":"T","deep":` + strings.Repeat("[", 4000) + strings.Repeat("]", 4000) + `}`
	assert.Equal(t, "T", parseProblem(t, "application/problem+json", deep).Title)
}

func TestProblem_StatusOfTheResponseWinsOverItsOwn(t *testing.T) {
	t.Parallel()
	failed := checkResponse(t, newResponse(503, strings.NewReader(`{"status":404}`), "Content-Type", "application/problem+json"))
	assert.Equal(t, 503, failed.StatusCode)
	assert.Equal(t, steadyhttp.Transient, failed.Class)
	assert.Equal(t, 404, failed.Problem.Status)
}
