package fault

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// A recorder makes a response of what a handler writes. It is an [http.ResponseWriter], an [io.StringWriter] and an
// [http.Flusher]. net/http/httptest has one as well, but brings package testing's flags into a program.
type recorder struct {
	header  http.Header // the handler's, which it may change until the end
	status  int         // 0 until the header is written
	written http.Header // a copy of the header at that time
	body    bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: make(http.Header)} }

// Header fulfils http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader fulfils http.ResponseWriter. The first status counts, even one that is only informational.
func (r *recorder) WriteHeader(status int) {
	if r.status != 0 {
		return
	}
	if status < 100 || status > 999 { // net/http's servers panic too
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	r.status, r.written = status, r.header.Clone()
}

// Write fulfils http.ResponseWriter.
func (r *recorder) Write(piece []byte) (int, error) {
	r.begin(piece)
	_, _ = r.body.Write(piece)
	if !allowsBody(r.status) {
		return 0, http.ErrBodyNotAllowed
	}
	return len(piece), nil
}

// WriteString fulfils io.StringWriter.
func (r *recorder) WriteString(piece string) (int, error) { return r.Write([]byte(piece)) }

// Flush fulfils http.Flusher.
func (r *recorder) Flush() {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
}

// begin writes the header that a handler leaves out, with the type of the content.
func (r *recorder) begin(content []byte) {
	if r.status != 0 {
		return
	}
	_, typed := r.header["Content-Type"] // to nil, by who wants none
	if !typed && r.header.Get("Transfer-Encoding") == "" {
		r.header.Set("Content-Type", http.DetectContentType(content))
	}
	r.WriteHeader(http.StatusOK)
}

// allowsBody follows RFC 9110 §6.4.1.
func allowsBody(status int) bool {
	return status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified
}

// response is what the handler has made, once it has returned.
func (r *recorder) response() *http.Response {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	return &http.Response{
		Status:     fmt.Sprintf("%03d %s", r.status, http.StatusText(r.status)),
		StatusCode: r.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        r.written,
		Body:          io.NopCloser(bytes.NewReader(r.body.Bytes())),
		ContentLength: contentLength(r.written),
		Trailer:       r.trailer(),
	}
}

// contentLength is what the handler announced; -1 if it announced nothing.
func contentLength(header http.Header) int64 {
	length, err := strconv.ParseUint(textproto.TrimString(header.Get("Content-Length")), 10, 63)
	if err != nil {
		return -1
	}
	return int64(length)
}

// trailer returns the fields that were announced by a Trailer header before the body, and those marked by
// http.TrailerPrefix; nil if there are neither.
func (r *recorder) trailer() http.Header {
	var trailer http.Header
	if announced, ok := r.written["Trailer"]; ok {
		trailer = make(http.Header)
		for name := range strings.SplitSeq(strings.Join(announced, ","), ",") {
			name = http.CanonicalHeaderKey(textproto.TrimString(name))
			if values, ok := r.header[name]; ok && allowedInTrailer(name) {
				trailer[name] = slices.Clone(values)
			}
		}
	}
	for name, values := range r.header {
		name, ok := strings.CutPrefix(name, http.TrailerPrefix)
		if !ok {
			continue
		}
		if trailer == nil {
			trailer = make(http.Header)
		}
		for _, value := range values {
			trailer.Add(name, value)
		}
	}
	return trailer
}

// notInTrailer has the fields that must come before the content (RFC 9110 §6.5.1), as net/http knows them.
var notInTrailer = []string{
	"Authorization", "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type",
	"Expect", "Host", "Keep-Alive", "Max-Forwards", "Pragma", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Range", "Realm", "Te", "Trailer", "Transfer-Encoding", "Www-Authenticate",
}

func allowedInTrailer(name string) bool {
	return !strings.HasPrefix(name, "If-") && !slices.Contains(notInTrailer, name)
}
