package steadyhttp

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ResponseError is a response that is no [Success], as an error: it tells whose fault it is, and by
// [ResponseError.Advice] what to do next.
//
// [CheckResponse] makes it. Find it with [errors.As]. Error and LogValue show of what the server said only
// the problem's title and the ID; Problem, Body and Advice repeat more, which may be private.
type ResponseError struct {
	// Method is the request's; empty, as URL is, if the response has none.
	Method string
	// URL is without userinfo, query and fragment.
	URL        string
	StatusCode int
	// Class is what the [Transport] took the response for, by its [Classifier] or by [Classify]; what
	// Classify says if no Transport returned it. A Classifier's is found as [Attempts] is.
	Class Class
	// RetryAfter is how long the server asks to be left alone; 0 if it does not, or asks for no wait.
	RetryAfter time.Duration
	// RequestID is what the server calls this exchange, for its support to find it: the first of
	// X-Request-Id, Request-Id, X-Amzn-Requestid, X-Amz-Request-Id, X-Ms-Request-Id, X-Github-Request-Id,
	// X-Correlation-Id and Cf-Ray. A value of more than 128 octets, or with others than visible ASCII, is
	// none.
	RequestID string
	// Problem is the server's explanation, if it sent one in a form that is known.
	Problem *Problem
	// Body is the start of the response's body, at most 8 KiB. It is a copy.
	Body []byte
	// Attempts is how many attempts led to this response, as [Attempts] counts them.
	Attempts int
	// Stopped is why the request was not retried, or not again. For a [Transient] response that no
	// Transport returned it is 0.
	Stopped StopReason
}

// CheckResponse returns nil for a [Success], and a [*ResponseError] for every other response.
//
// Call it where the status is not looked at otherwise, after the error of the call:
//
//	response, err := client.Do(request)
//	if err != nil {
//		return err
//	}
//	defer response.Body.Close()
//	if err := steadyhttp.CheckResponse(response); err != nil {
//		return err
//	}
//
// The response may come from any client. Of a Success nothing is read. Of another body at most 8 KiB
// are, which may wait for the server as any reading does, and put back: resp.Body can be read from where
// it was, and an error of that reading comes where it came. The body remains to be closed. It sets
// resp.Body, so nothing else may use the response meanwhile. A nil response is an error as well, but no
// ResponseError.
func CheckResponse(resp *http.Response) error {
	if resp == nil {
		return errors.New("steadyhttp: nil Response")
	}
	class := classOf(resp)
	if class == Success {
		return nil
	}
	failed := newResponseError(resp, class)
	failed.Body = peek(resp)
	failed.Problem = problemOf(resp, failed.Body)
	return failed
}

// newResponseError tells of a response what its header does.
func newResponseError(response *http.Response, class Class) *ResponseError {
	wait := noteOf(response).retryAfter
	if wait == 0 {
		wait, _ = retryAfter(response, time.Now)
	}
	failed := &ResponseError{
		StatusCode: response.StatusCode, Class: class, RetryAfter: wait, RequestID: requestID(response.Header),
		Attempts: Attempts(response), Stopped: stoppedOf(response, class),
	}
	if request := response.Request; request != nil {
		failed.Method, failed.URL = methodOf(request), redact(request.URL)
	}
	return failed
}

// classOf is the class that the Transport gave the response, or that its status has.
func classOf(response *http.Response) Class {
	if note := noteOf(response); note.class != Unclassified {
		return note.class
	}
	return classifyStatus(response.StatusCode)
}

// stoppedOf is why the Transport did not retry, which it notes unless the class says so.
func stoppedOf(response *http.Response, class Class) StopReason {
	return cmp.Or(noteOf(response).stopped, impliedStop(class))
}

// impliedStop is why a call ends at its first attempt, where the class alone is the reason.
func impliedStop(class Class) StopReason {
	switch class {
	case Success:
		return StopSuccess
	case ClientFault, Throttled, ServerFault, Permanent:
		return StopNotRetryable
	default:
		return 0
	}
}

// noteOf is what the Transport has noted for the response, which is nothing for what is as expected.
func noteOf(response *http.Response) *callOptions {
	if response.Request == nil {
		return &noCallOptions
	}
	return callOptionsOf(response.Request.Context())
}

// Error is one line: the request without its secrets, the status, the attempts, whose fault it is, why it was
// not retried, and the problem's title if there is one. The status is in our words, not in the server's.
func (e *ResponseError) Error() string {
	words := []string{"steadyhttp:", line(e.Method), printable(e.URL), "answered", statusText(e.StatusCode), "after", counted(e.Attempts)}
	absent := func(word string) bool { return word == "" }
	text := fmt.Sprintf("%s (%s", strings.Join(slices.DeleteFunc(words, absent), " "), e.Class.fault())
	if e.Stopped.isSurprise() {
		text += ", not retried: " + e.Stopped.String()
	}
	text += ")"
	if title := e.title(); title != "" {
		text += ": " + title
	}
	return text
}

// title is the problem's, or empty.
func (e *ResponseError) title() string {
	if e.Problem == nil {
		return ""
	}
	return line(e.Problem.Title)
}

// LogValue is a group of what is in Error, with the request's ID: method, url, status, class, attempts,
// and where there are such, stopped, retry_after, request_id and problem, which is the title.
func (e *ResponseError) LogValue() slog.Value {
	attributes := []slog.Attr{
		slog.String("method", e.Method), slog.String("url", e.URL), slog.Int("status", e.StatusCode),
		slog.String("class", e.Class.String()), slog.Int("attempts", e.Attempts),
	}
	if e.Stopped != 0 {
		attributes = append(attributes, slog.String("stopped", e.Stopped.String()))
	}
	if e.RetryAfter > 0 {
		attributes = append(attributes, slog.Duration("retry_after", e.RetryAfter))
	}
	if e.RequestID != "" {
		attributes = append(attributes, slog.String("request_id", e.RequestID))
	}
	if title := e.title(); title != "" {
		attributes = append(attributes, slog.String("problem", title))
	}
	return slog.GroupValue(attributes...)
}

// statusText leaves a code without a name alone.
func statusText(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

// requestIDs are the fields by which servers name an exchange, the commonest first.
var requestIDs = []string{
	"X-Request-Id", "Request-Id", "X-Amzn-Requestid", "X-Amz-Request-Id", "X-Ms-Request-Id",
	"X-Github-Request-Id", "X-Correlation-Id", "Cf-Ray",
}

const requestIDLimit = 128

func requestID(header http.Header) string {
	for _, name := range requestIDs {
		if id := header.Get(name); isID(id) {
			return id
		}
	}
	return ""
}

func isID(text string) bool {
	invisible := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	return text != "" && len(text) <= requestIDLimit && !strings.ContainsFunc(text, invisible)
}

// bodyLimit is how much of a body is worth keeping in an error.
const bodyLimit = 8 << 10

// peek reads the start of the body and puts it back. The body of a 101 is a connection, and stays one.
func peek(response *http.Response) []byte {
	if !bringsBody(response) {
		return nil
	}
	source := response.Body
	start, err := io.ReadAll(io.LimitReader(source, bodyLimit))
	rest := io.Reader(source)
	if err != nil {
		rest = failedReader{err}
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), rest), source}
	return bytes.Clone(start)
}

// A failedReader repeats how reading ended: not every reader does so itself.
type failedReader struct{ err error }

func (r failedReader) Read([]byte) (int, error) { return 0, r.err }
