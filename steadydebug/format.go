package steadydebug

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A format is one in which the page can be had. The zero one is for those who have no wish.
type format uint8

const (
	formatText format = iota
	formatJSON
	formatHTML
)

var formatNames = [...]string{formatText: "text", formatJSON: "json", formatHTML: "html"}

var mediaTypes = [...]string{formatText: "text/plain", formatJSON: "application/json", formatHTML: "text/html"}

func (f format) contentType() string {
	if f == formatJSON {
		return mediaTypes[f] // RFC 8259 §11: it has no charset
	}
	return mediaTypes[f] + "; charset=utf-8"
}

func (f format) render(s snapshot, writable bool) ([]byte, error) {
	switch f {
	case formatJSON:
		content, err := json.MarshalIndent(s, "", "\t")
		return append(content, '\n'), err
	case formatHTML:
		return s.html(writable)
	default:
		var text bytes.Buffer
		s.writeText(&text)
		return text.Bytes(), nil
	}
}

// formatOf is what the query asks for, or else the Accept header.
func formatOf(r *http.Request) (format, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, fmt.Errorf("steadydebug: the query cannot be read: %w", err)
	}
	if !query.Has("format") {
		return negotiate(r.Header.Values("Accept")), nil
	}
	asked := query.Get("format")
	for f, name := range formatNames {
		if name == asked {
			return format(f), nil
		}
	}
	return 0, fmt.Errorf("steadydebug: there is no format %s: text, json and html are known", quoted(asked))
}

// negotiate finds the format that is preferred (RFC 9110 §12.5.1): by q, then by how exactly it is named, then by which
// is named first. It is text if none is acceptable, rather than a 406.
func negotiate(accept []string) format {
	ranges := parseAccept(strings.Join(accept, ","))
	chosen, best := formatText, preference{}
	for f := range mediaTypes {
		if p := preferenceFor(mediaTypes[f], ranges); p.q > 0 && p.isOver(best) {
			chosen, best = format(f), p
		}
	}
	return chosen
}

// A mediaRange is one element of an Accept header.
type mediaRange struct {
	name  string // in lower case, without parameters
	q     float64
	place int
}

// A preference is how much a media type is wanted.
type preference struct {
	q     float64
	exact int // 3 for text/html, 2 for text/*, 1 for */*
	place int // in the header
}

func (p preference) isOver(other preference) bool {
	switch {
	case p.q != other.q:
		return p.q > other.q
	case p.exact != other.exact:
		return p.exact > other.exact
	default:
		return p.place < other.place
	}
}

// preferenceFor is that of the most exact range that the media type is in.
func preferenceFor(mediaType string, ranges []mediaRange) (found preference) {
	family, _, _ := strings.Cut(mediaType, "/")
	for _, r := range ranges {
		exact := 0
		switch r.name {
		case mediaType:
			exact = 3
		case family + "/*":
			exact = 2
		case "*/*":
			exact = 1
		}
		if exact > found.exact {
			found = preference{r.q, exact, r.place}
		}
	}
	return found
}

// parseAccept leaves out an element whose q is none.
func parseAccept(header string) (ranges []mediaRange) {
	for place, element := range strings.Split(header, ",") {
		name, parameters, _ := strings.Cut(element, ";")
		if q, ok := parseQuality(parameters); ok {
			ranges = append(ranges, mediaRange{strings.ToLower(strings.TrimSpace(name)), q, place})
		}
	}
	return ranges
}

// parseQuality is 1 without a q. The other parameters are ignored: none of our types has any that matters.
func parseQuality(parameters string) (q float64, ok bool) {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return q, err == nil && q >= 0 && q <= 1
		}
	}
	return 1, true
}
