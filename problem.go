package steadyhttp

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// Problem is a server's explanation in RFC 9457's format, application/problem+json.
//
// A member of the wrong JSON type counts as absent (§3.1), and a body that is not one whole JSON object
// within 8 KiB is no Problem. Every text is the server's: treat it as any input.
type Problem struct {
	// Type is the URI that names the kind of problem, resolved against the request's URL without its
	// userinfo and query; "about:blank" if absent. Compare it; there is no need to follow it.
	Type string
	// Title is what the kind of problem is called, and Detail what is special about this one.
	Title, Detail string
	// Instance is the URI that names this occurrence, resolved as Type is.
	Instance string
	// Status is what the server's application meant to send; 0 if absent. What arrived counts, which is in
	// [ResponseError].
	Status int
	// Extensions are all other members, as they came.
	Extensions map[string]json.RawMessage
}

// problemOf reads the explanation, or returns nil. Each member is decoded by itself: one of the wrong type
// must not spoil the others, and names are case-sensitive, which they are not for a struct's fields.
func problemOf(response *http.Response, content []byte) *Problem {
	// mime.ParseMediaType returns no media type where a parameter comes twice.
	mediaType, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), "application/problem+json") {
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(content, &members) != nil || members == nil {
		return nil
	}
	p := &Problem{Type: "about:blank"}
	take(members, "type", &p.Type)
	take(members, "title", &p.Title)
	take(members, "detail", &p.Detail)
	take(members, "instance", &p.Instance)
	take(members, "status", &p.Status)
	if len(members) > 0 {
		p.Extensions = members
	}
	p.Type, p.Instance = resolve(response.Request, p.Type), resolve(response.Request, p.Instance)
	return p
}

// take moves a member into its field. One that is absent, null or of another type leaves it as it is.
func take(members map[string]json.RawMessage, name string, field any) {
	_ = json.Unmarshal(members[name], field)
	delete(members, name)
}

// resolve makes a relative reference absolute (RFC 9457 §3.1.1, RFC 3986 §5), where there is what it is
// relative to.
func resolve(request *http.Request, reference string) string {
	target, err := url.Parse(reference)
	if err != nil || reference == "" || target.IsAbs() || request == nil || request.URL == nil {
		return reference
	}
	return bare(request.URL).ResolveReference(target).String()
}
