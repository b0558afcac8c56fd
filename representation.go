package steadyhttp

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A representation is what a response's body is a part of, or all (RFC 9110 §8): by what it is known again, and
// which of its bytes the body has.
type representation struct {
	validator    string // for If-Range: a strong one
	etag         string // as it was sent; empty for none
	lastModified string
	first        int64 // where the body begins in it
	length       int64 // of the body; -1: not known yet
	complete     int64 // of the representation; -1: not known yet
}

// Why a body cannot be resumed. They are made once, since most responses to a client that resumes have one.
var (
	errNoPlainGet     = errors.New("the request is no GET without a body")
	errNoWholeStatus  = errors.New("the status is neither 200 nor 206")
	errEncoded        = errors.New("the body has a content coding, such as gzip")
	errTrailers       = errors.New("the response announced trailers")
	errNoRanges       = errors.New("the server says Accept-Ranges: none")
	errNoValidator    = errors.New("the response has no strong validator: an ETag without W/, or no ETag and a Last-Modified that is 60 s older than its Date")
	errSeveralRanges  = errors.New("the 206 has several ranges")
	errNoContentRange = errors.New("the 206 has no valid Content-Range with the length of the whole")
	errOtherLength    = errors.New("the 206 is not as long as its Content-Range")
	errTooLong        = errors.New("the body is longer than its Content-Length")
)

// representationOf says what the body is of, or why the rest of it cannot be asked for. Only byte for byte the
// same will do, so there must be a strong validator, and no coding that the client has undone.
func representationOf(request *http.Request, response *http.Response) (representation, error) {
	header := response.Header
	r := representation{
		validator: strongValidator(header), etag: header.Get("Etag"), lastModified: header.Get("Last-Modified"),
	}
	r.length = contentLength(response)
	r.complete = r.length
	switch {
	case methodOf(request) != http.MethodGet || hasBody(request):
		return r, errNoPlainGet
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusPartialContent:
		return r, errNoWholeStatus
	case isEncoded(response):
		return r, errEncoded
	case len(response.Trailer) > 0:
		return r, errTrailers
	case strings.EqualFold(header.Get("Accept-Ranges"), "none"):
		return r, errNoRanges
	case r.validator == "":
		return r, errNoValidator
	case response.StatusCode == http.StatusPartialContent:
		return r, r.setRange(response)
	default:
		return r, nil
	}
}

// setRange is for the 206 to a range that the caller asked for.
func (r *representation) setRange(response *http.Response) error {
	part, err := partOf(response)
	if err != nil {
		return err
	}
	r.first, r.length, r.complete = part.first, part.length(), part.complete
	return nil
}

// partOf is the one range of a 206, whose body must be as long.
func partOf(response *http.Response) (contentRange, error) {
	part, ok := contentRangeOf(response.Header)
	switch {
	case strings.HasPrefix(strings.ToLower(response.Header.Get("Content-Type")), "multipart/byteranges"):
		return part, errSeveralRanges
	case !ok || part.unsatisfied || part.complete < 0:
		return part, errNoContentRange
	case contentLength(response) >= 0 && contentLength(response) != part.length():
		return part, errOtherLength
	default:
		return part, nil
	}
}

// promisedLength is how long the body must be; -1: who knows. A 206 in chunks says so by its range.
func promisedLength(response *http.Response) int64 {
	length := contentLength(response)
	if length >= 0 || response.StatusCode != http.StatusPartialContent || isEncoded(response) {
		return length
	}
	part, err := partOf(response)
	if err != nil {
		return -1
	}
	return part.length()
}

// contentLength is -1, too, where the number is not the body's: a base that has undone a coding may leave it as it was, and
// one that sets none leaves 0.
func contentLength(response *http.Response) int64 {
	unset := response.ContentLength == 0 && response.Header.Get("Content-Length") == ""
	if unset || response.Uncompressed {
		return -1
	}
	return response.ContentLength
}

// strongValidator returns what If-Range may be sent with (RFC 9110 §13.1.5): an entity tag that is not weak, or
// where there is no tag a date. One second does not tell two changes apart, so the date must be a minute older
// than the response: §8.8.2.2 wants a second, and clocks differ.
func strongValidator(header http.Header) string {
	tags, dates := header["Etag"], header["Last-Modified"]
	switch {
	case len(tags) == 1 && isStrongETag(tags[0]):
		return tags[0]
	case len(tags) > 0 || len(dates) != 1: // with a weak tag the date must not be used either
		return ""
	}
	modified, err1 := http.ParseTime(dates[0])
	sent, err2 := http.ParseTime(header.Get("Date"))
	if err1 != nil || err2 != nil || sent.Sub(modified) < time.Minute {
		return ""
	}
	return dates[0]
}

// isStrongETag is RFC 9110 §8.8.3's opaque-tag.
func isStrongETag(tag string) bool {
	if len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return false
	}
	for _, octet := range []byte(tag[1 : len(tag)-1]) {
		if octet <= ' ' || octet == '"' || octet == 0x7f {
			return false
		}
	}
	return true
}

func isEncoded(response *http.Response) bool {
	if response.Uncompressed {
		return true
	}
	for _, coding := range response.Header["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return true
		}
	}
	return false
}

// request returns a copy of the request that asks for what is missing.
func (r *representation) request(request *http.Request, got int64) *http.Request {
	rest := request.WithContext(request.Context())
	rest.Header = request.Header.Clone()
	if rest.Header == nil { // which a base may take
		rest.Header = make(http.Header)
	}
	for name := range rest.Header {
		if strings.EqualFold(name, "Range") || strings.EqualFold(name, "If-Range") {
			delete(rest.Header, name) // in whatever letters: two of them would be sent
		}
	}
	rest.Header.Set("Range", r.missing(got))
	rest.Header.Set("If-Range", r.validator)
	return rest
}

// missing has an end only where the caller's own Range may have had one.
func (r *representation) missing(got int64) string {
	if r.length >= 0 && r.first+r.length != r.complete {
		return fmt.Sprintf("bytes=%d-%d", r.first+got, r.first+r.length-1)
	}
	return "bytes=" + strconv.FormatInt(r.first+got, 10) + "-"
}

var (
	errComplete    = errors.New("the body was complete") // no failure: nothing was missing
	errOtherStatus = errors.New("the status is none that a body can be resumed with")
)

// A continuation is how the body of one more response goes on with the one that broke.
type continuation struct {
	skip int64 // of its body, which was read already
	end  int64 // of what it has, counted from where the body begins; -1: not known
}

// resume checks the response to the request for what is missing, to the byte. It learns the length, should that be news.
func (r *representation) resume(request *http.Request, response *http.Response, got int64) (rest continuation, err error) {
	switch response.StatusCode {
	case http.StatusPartialContent:
		return r.resumePartial(response, got)
	case http.StatusOK:
		err = r.resumeWhole(response, got)
		return continuation{skip: r.first + got, end: r.length}, err
	case http.StatusRequestedRangeNotSatisfiable:
		return rest, r.resumeUnsatisfied(response, got)
	case http.StatusNotModified:
		return rest, r.resumeRefused(request, response, "If-None-Match", "If-Modified-Since")
	case http.StatusPreconditionFailed:
		return rest, r.resumeRefused(request, response, "If-Match", "If-Unmodified-Since")
	default:
		return rest, errOtherStatus
	}
}

// resumePartial: the range may be less than was asked for, and its body longer than it says.
func (r *representation) resumePartial(response *http.Response, got int64) (rest continuation, err error) {
	if err := r.checkSame(response); err != nil {
		return rest, err
	}
	part, err := partOf(response)
	switch {
	case err != nil:
		return rest, err
	case r.complete >= 0 && part.complete != r.complete:
		return rest, &ChangedError{What: "length"}
	case r.untold(response) != "":
		return rest, fmt.Errorf("nothing shows that the 206 is of the same representation: only one of both responses has %s", r.untold(response))
	case part.first != r.first+got:
		return rest, errors.New("the 206 begins elsewhere than was asked for")
	case r.length >= 0 && part.last > r.first+r.length-1:
		return rest, errors.New("the 206 ends later than was asked for")
	default:
		r.learn(part.complete)
		return continuation{end: got + part.length()}, nil
	}
}

// resumeWhole is for a server that does not know ranges, or whose resource has changed.
func (r *representation) resumeWhole(response *http.Response, got int64) error {
	if err := r.checkSame(response); err != nil {
		return err
	}
	length := contentLength(response)
	switch {
	case length >= 0 && !r.mayBe(length, got):
		return &ChangedError{What: "length"}
	case r.first+got > muchContent:
		return fmt.Errorf("the server sends all from the start, and more than %d MiB would be read once more", muchContent>>20)
	default:
		r.learn(length)
		return nil
	}
}

// resumeUnsatisfied is for a body of which only the end was lost: nothing comes after it.
func (r *representation) resumeUnsatisfied(response *http.Response, got int64) error {
	said, ok := contentRangeOf(response.Header)
	switch {
	case response.Header.Get("Etag") != "" && r.differs(response, "Etag", r.etag):
		return &ChangedError{What: "ETag"}
	case !ok || !said.unsatisfied:
		return errOtherStatus
	case r.complete >= 0 && said.complete != r.complete, said.complete != r.first+got:
		return &ChangedError{What: "length"}
	default:
		return errComplete
	}
}

// resumeRefused is for a precondition of the caller's own, by tags or by date (RFC 9110 §13.1). What broke was sent under
// it, and now it fails, so the resource has changed; unless the server shows the same tag.
func (r *representation) resumeRefused(request *http.Request, response *http.Response, tags, date string) error {
	switch {
	case r.etag != "" && response.Header.Get("Etag") == r.etag:
		return errOtherStatus
	case request.Header.Get(tags) != "":
		return &ChangedError{What: "ETag"}
	case request.Header.Get(date) != "":
		return &ChangedError{What: "Last-Modified"}
	default:
		return errOtherStatus
	}
}

// checkSame finds out whether something shows that the response is of another representation, or in another coding.
func (r *representation) checkSame(response *http.Response) error {
	switch {
	case isEncoded(response):
		return errors.New("the rest has a content coding, such as gzip")
	case r.differs(response, "Etag", r.etag):
		return &ChangedError{What: "ETag"}
	case r.validator == r.lastModified && r.differs(response, "Last-Modified", r.lastModified):
		return &ChangedError{What: "Last-Modified"}
	default:
		return nil
	}
}

// differs: a 206 says that If-Range held, so a field that is missing there shows no change (RFC 9110 §15.3.7 lets it
// leave some out); see untold. A 200 says that it did not hold, or that the server does not know it.
func (r *representation) differs(response *http.Response, field, was string) bool {
	lines, is := response.Header[field], response.Header.Get(field)
	if response.StatusCode == http.StatusPartialContent && len(lines) <= 1 && (is == "" || was == "") {
		return false
	}
	return len(lines) > 1 || is != was
}

// untold is the validator by which a 206 cannot be compared; empty: it can be. A server that does not know If-Range
// sends the bytes of another representation too, so that its word alone is not enough.
func (r *representation) untold(response *http.Response) string {
	switch {
	case (response.Header.Get("Etag") == "") != (r.etag == ""):
		return "an ETag"
	case r.validator == r.lastModified && response.Header.Get("Last-Modified") == "":
		return "a Last-Modified"
	default:
		return ""
	}
}

// mayBe reports whether the representation, of which so much was read, can be as long as that.
func (r *representation) mayBe(complete, got int64) bool {
	if r.complete >= 0 {
		return complete == r.complete
	}
	return complete >= r.first+got
}

// learn keeps the length, should the first response not have told it: then its body is all of the representation.
func (r *representation) learn(complete int64) {
	if r.complete < 0 {
		r.complete, r.length = complete, complete
	}
}
