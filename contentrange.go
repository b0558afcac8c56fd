package steadyhttp

import (
	"math"
	"net/http"
	"strings"
)

// A contentRange is what a Content-Range field says (RFC 9110 §14.4).
type contentRange struct {
	unsatisfied bool  // "bytes */N": there is no such range
	first, last int64 // both included
	complete    int64 // the representation's length; -1: not told
}

func (r contentRange) length() int64 { return r.last - r.first + 1 }

// contentRangeOf reads the field to the byte: of several lines, of another unit than bytes, and of a range that
// cannot be it takes none.
func contentRangeOf(header http.Header) (contentRange, bool) {
	lines := header["Content-Range"]
	if len(lines) != 1 {
		return contentRange{}, false
	}
	return parseContentRange(lines[0])
}

func parseContentRange(line string) (contentRange, bool) {
	const unit = "bytes "
	if len(line) < len(unit) || !strings.EqualFold(line[:len(unit)], unit) {
		return contentRange{}, false
	}
	positions, length, found := strings.Cut(line[len(unit):], "/")
	complete, known := parsePosition(length)
	if !found || !known && length != "*" {
		return contentRange{}, false
	}
	if positions == "*" {
		return contentRange{unsatisfied: true, complete: complete}, known
	}
	if !known {
		complete = -1
	}
	start, end, found := strings.Cut(positions, "-")
	first, hasFirst := parsePosition(start)
	last, hasLast := parsePosition(end)
	fits := first <= last && (!known || last < complete)
	return contentRange{first: first, last: last, complete: complete}, found && hasFirst && hasLast && fits
}

// parsePosition reads digits and nothing else. It takes no number whose successor is none.
func parsePosition(digits string) (position int64, ok bool) {
	if !isDigits(digits) {
		return 0, false
	}
	for _, digit := range digits {
		if position > (math.MaxInt64-10)/10 {
			return 0, false
		}
		position = position*10 + int64(digit-'0')
	}
	return position, true
}
