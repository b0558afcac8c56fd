package fault

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/step"
)

// A File is a [Step] that serves a file as net/http's file server does: with an ETag, by ranges (Range, If-Range), and
// with the conditions of RFC 9110. [NewFile] makes one, and each method returns a changed copy.
//
// It is made to test downloads that break, and how they go on:
//
//	file := steadyhttptest.NewFile(content)
//	server := steadyhttptest.NewServer(file.CutAfter(1000), file.CutAfter(500), file)
type File struct {
	content   string
	tag       string
	modified  time.Time
	rangeless bool
	end       bodyEnd
	after     int // where the body ends so
}

// NewFile returns a file with this content. Its ETag is strong and made of the content, so that another content has
// another one. It has no Last-Modified.
func NewFile(content string) File {
	digest := sha256.Sum256([]byte(content))
	return File{content: content, tag: `"` + hex.EncodeToString(digest[:8]) + `"`}
}

// ETag sets the entity tag, with its quotes and, for a weak one, its W/. If it is empty, there is none.
func (f File) ETag(tag string) File {
	f.tag = tag
	return f
}

// Modified sets Last-Modified. The zero time, as at first, means that there is none.
func (f File) Modified(when time.Time) File {
	f.modified = when
	return f
}

// WithoutRanges makes the server ignore Range, and always send the whole file.
func (f File) WithoutRanges() File {
	f.rangeless = true
	return f
}

// CutAfter makes each response's body break off after n bytes, although all of it was announced. Reading it ends with
// [io.ErrUnexpectedEOF]. A body that is not longer is complete.
func (f File) CutAfter(n int) File {
	f.end, f.after = truncated, n
	return f
}

// StallAfter makes each response's body stop after n bytes, although all of it was announced. A read blocks until the
// request's context ends or the body is closed. A body that is not longer is complete.
func (f File) StallAfter(n int) File {
	f.end, f.after = stalled, n
	return f
}

// RoundTrip returns the response.
func (f File) RoundTrip(request *http.Request) (*http.Response, error) {
	return step.Play(f.Internal(), request, nil)
}

// String returns the file's length, and how its body ends if it is not complete.
func (f File) String() string {
	if f.end == complete {
		return fmt.Sprintf("file of %d bytes", len(f.content))
	}
	return fmt.Sprintf("file of %d bytes, %s after %d", len(f.content), f.end, f.after)
}

// Internal is for the packages of the kit: its result is of an internal package.
func (f File) Internal() step.Behavior {
	if f.end != complete && f.after < 0 {
		return step.Invalid(fmt.Sprintf("File %s after %d bytes: want 0 or more", f.end, f.after)).Internal()
	}
	return step.Behavior{
		Stage: step.AtBody,
		Play: func(request *http.Request) (*http.Response, error) {
			date := time.Now().UTC().Format(http.TimeFormat) // which net/http's servers add
			return f.response(request).Header("Date", date).play(request)
		},
		Serve: func(w http.ResponseWriter, request *http.Request, conn step.Conn) {
			f.response(request).serve(w, request, conn)
		},
	}
}

// response is what net/http's file server responds.
func (f File) response(request *http.Request) Response {
	recorded := newRecorder()
	if f.tag != "" {
		recorded.header.Set("Etag", f.tag)
	}
	recorded.header.Set("Content-Type", "application/octet-stream")
	http.ServeContent(recorded, f.served(request), "", f.modified, strings.NewReader(f.content))
	if f.rangeless {
		recorded.written.Del("Accept-Ranges")
	}
	recorded.written.Del("Content-Length") // the Response's own counts
	response := Response{status: recorded.status, header: recorded.written, body: recorded.body.String(), hasBody: true}
	if f.end != complete && f.after < recorded.body.Len() {
		response.end, response.cut, response.after = f.end, true, f.after
	}
	return response
}

// served is the request as the file server is to see it. A HEAD is a GET, whose content is left out later.
func (f File) served(request *http.Request) *http.Request {
	served := asServed(request)
	served.Header = request.Header.Clone()
	if served.Method == http.MethodHead {
		served.Method = http.MethodGet
	}
	if f.rangeless {
		served.Header.Del("Range")
	}
	return served
}
