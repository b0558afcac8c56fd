package steadyhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

// A fileModel is an origin that serves one file, and at the same time knows what a client that resumes must have read
// of it. The origin may be replaced by another version, cut each body anywhere, send more than it says, misread ranges, and leave
// out or spoil each field; but where it says which bytes of which version it sends, these come: nobody could see otherwise.
type fileModel struct {
	t *testing.T
	s *schedule

	size     int  // of the version that is begun with; the other may differ
	first    int  // where the body begins
	length   int  // of the body
	known    bool // whether the client knows that
	tagged   bool // whether it is known again by a tag, or by a date
	eligible bool // whether the first response lets it be resumed
	most     int  // attempts without a byte

	number  int // of attempts
	got     int // by the client
	renewed int // the last attempt that brought something
	ended   steadyhttp.StopReason
	bodies  []*fileBody
}

// versionBytes differ between versions at every place.
func versionBytes(version, size int) []byte {
	content := make([]byte, size)
	for i := range content {
		content[i] = []byte("aA")[version] + byte(i%26)
	}
	return content
}

// A fileBody is cut, by an error or by a clean end, and counts how often it is closed.
type fileBody struct {
	content []byte
	err     error
	closed  int
}

func (b *fileBody) Read(p []byte) (int, error) {
	n := copy(p, b.content)
	b.content = b.content[n:]
	if len(b.content) == 0 && (n == 0 || len(p)%2 == 0) { // with the last bytes or after them, both are allowed
		return n, b.err
	}
	return n, nil
}

func (b *fileBody) Close() error { b.closed++; return nil }

func (m *fileModel) RoundTrip(r *http.Request) (*http.Response, error) {
	m.number++
	if m.number == 1 {
		return m.begin(r), nil
	}
	require.Zero(m.t, m.ended, "the model has ended, and the client goes on")
	want := "bytes=" + strconv.Itoa(m.first+m.got) + "-"
	if m.first+m.length < m.size {
		want += strconv.Itoa(m.first + m.length - 1)
	}
	require.Equal(m.t, want, r.Header.Get("Range"))
	require.Equal(m.t, m.validator(), r.Header.Get("If-Range"))
	switch kind := m.s.pick(10); kind {
	case 0, 1, 2, 3, 4:
		return m.part(), nil
	case 5, 6:
		return m.whole(), nil
	case 7:
		return m.unsatisfied(), nil
	case 8:
		m.progress(0, false)
		return m.respond(503, nil, nil), nil
	default:
		if m.s.chance(50) {
			m.progress(0, false)
			return nil, errReset
		}
		m.ended = steadyhttp.StopNotRetryable
		return m.respond(404, nil, nil), nil
	}
}

func (m *fileModel) validator() string {
	if m.tagged {
		return `"v0"`
	}
	return fileOld
}

func (m *fileModel) respond(code int, header http.Header, body *fileBody) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	if body == nil {
		body = &fileBody{err: io.EOF}
	}
	m.bodies = append(m.bodies, body)
	return &http.Response{StatusCode: code, Header: header, Body: body, ContentLength: -1}
}

func tellLength(response *http.Response, length int) {
	response.ContentLength = int64(length)
	response.Header.Set("Content-Length", strconv.Itoa(length))
}

// overflow lets a body that is whole go on after it.
func (m *fileModel) overflow(body *fileBody, whole bool) {
	if whole && m.s.chance(30) {
		body.content = append(slices.Clip(body.content), "????????"[:1+m.s.pick(8)]...)
	}
}

// begin draws the file, and what the client is told of it.
func (m *fileModel) begin(*http.Request) *http.Response {
	s := m.s
	m.size, m.tagged, m.known = s.pick(40), s.chance(60), s.chance(60)
	m.length, m.eligible = m.size, true
	header := http.Header{"Date": {fileDate}}
	switch {
	case m.tagged:
		header.Set("Etag", `"v0"`)
	default:
		header.Set("Last-Modified", fileOld)
	}
	code := http.StatusOK
	if m.size > 0 && s.chance(30) {
		m.first = s.pick(m.size)
		m.length, m.known, code = 1+s.pick(m.size-m.first), true, http.StatusPartialContent
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", m.first, m.first+m.length-1, m.size))
	}
	uncompressed := false
	if s.chance(20) {
		m.eligible = false
		uncompressed = m.spoil(header)
	}
	body, n, clean := m.cut(versionBytes(0, m.size)[m.first:m.first+m.length], m.known)
	response := m.respond(code, header, body)
	response.Uncompressed = uncompressed
	if m.known && (code == http.StatusOK || s.chance(70)) {
		tellLength(response, m.length)
	}
	if m.eligible {
		m.progress(n, clean)
		return response
	}
	// What cannot be resumed has no range that counts, and its error is its error.
	told := response.ContentLength >= 0 && !uncompressed // or the number is not the body's
	if clean && n < m.length && !told {
		body.err, clean = io.ErrUnexpectedEOF, false
	}
	m.got, m.ended = n, steadyhttp.StopNotResumable
	if n == m.length && (clean || told) {
		m.ended = steadyhttp.StopSuccess
	}
	return response
}

// spoil takes from a first response what a resume needs.
func (m *fileModel) spoil(header http.Header) (uncompressed bool) {
	switch m.s.pick(6) {
	case 0:
		header.Del("Etag")
		header.Del("Last-Modified")
	case 1:
		header.Set("Etag", `W/"v0"`)
	case 2:
		header.Set("Accept-Ranges", "none")
	case 3:
		header.Set("Content-Encoding", "gzip")
	case 4:
		header["Etag"] = []string{`"v0"`, `"v0"`}
	default:
		return true
	}
	return false
}

// cut ends a body somewhere. What ends cleanly and too soon must be seen by a length.
func (m *fileModel) cut(content []byte, known bool) (body *fileBody, n int, clean bool) {
	n = len(content)
	if m.s.chance(70) {
		n = m.s.pick(n + 1)
	}
	clean = n == len(content) && m.s.chance(80) || known && m.s.chance(20)
	body = &fileBody{content: content[:n], err: io.ErrUnexpectedEOF}
	if clean {
		body.err = io.EOF
	}
	return body, n, clean
}

// progress counts what an attempt brought. The client has all once it has the length, or, where that is not known,
// a clean end.
func (m *fileModel) progress(n int, clean bool) {
	m.got += n
	if n > 0 {
		m.renewed = m.number
	}
	switch {
	case m.known && m.got == m.length, !m.known && clean:
		m.ended = steadyhttp.StopSuccess
	case m.number-m.renewed >= m.most:
		m.ended = steadyhttp.StopMaxAttempts
	}
}

// identify says which version a response is of, and reports whether a client may go on with it: 0, or what it must say
// otherwise. In a 206 a validator that only one of both responses has shows no change.
func (m *fileModel) identify(header http.Header, version, code int) steadyhttp.StopReason {
	untold := steadyhttp.StopChanged
	if code == http.StatusPartialContent {
		untold = steadyhttp.StopNotResumable
	}
	switch m.s.pick(12) {
	case 0:
		header.Set("Etag", `W/"v0"`)
		if m.tagged {
			return steadyhttp.StopChanged
		}
		return untold
	case 1:
		if m.tagged {
			return untold
		}
		header.Set("Etag", `"v0"`) // which the first one did not have
		header.Set("Last-Modified", fileOld)
		return untold
	case 2:
		return untold
	}
	if m.tagged {
		header.Set("Etag", fmt.Sprintf(`"v%d"`, version))
		header.Set("Last-Modified", choose(m.s, fileOld, fileNew))
	} else {
		header.Set("Last-Modified", []string{fileOld, fileNew}[version])
	}
	if version != 0 {
		return steadyhttp.StopChanged
	}
	return 0
}

// version draws the one that is served now, and its size.
func (m *fileModel) version() (version, size int) {
	if m.s.chance(15) {
		return 1, max(1, m.size+m.s.pick(3)-1)
	}
	return 0, m.size
}

// part serves a 206.
func (m *fileModel) part() *http.Response {
	version, size := m.version()
	start := min(max(0, m.first+m.got+choose(m.s, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1)), max(0, size-1))
	if size == 0 { // there is no such range
		return m.unsatisfied()
	}
	stop := size - 1
	if m.first+m.length < m.size && m.s.chance(90) {
		stop = min(stop, m.first+m.length-1)
	}
	if stop = max(start, stop); m.s.chance(30) {
		stop = start + m.s.pick(stop-start+1)
	}
	header := http.Header{}
	other := m.identify(header, version, 206)
	readable := m.rangeField(header, start, stop, size)
	coded := m.s.chance(3)
	if coded {
		header.Set("Content-Encoding", choose(m.s, "gzip", "br, gzip"))
	}
	body, n, clean := m.cut(versionBytes(version, size)[start:stop+1], true)
	response := m.respond(206, header, body)
	switch m.s.pick(8) {
	case 0:
		tellLength(response, stop-start)
		readable = false
	case 1, 2, 3:
		tellLength(response, stop-start+1)
	default:
		m.overflow(body, n == stop-start+1)
	}
	_ = clean // a 206 that ends cleanly is no more of an end than one that breaks: the length counts
	switch {
	case coded:
		m.ended = steadyhttp.StopNotResumable
	case other == steadyhttp.StopChanged, other != 0 && readable && m.known && size != m.size:
		m.ended = steadyhttp.StopChanged
	case other != 0, !readable, start != m.first+m.got, m.known && stop >= m.first+m.length:
		m.ended = steadyhttp.StopNotResumable
	default:
		m.known = true
		m.progress(n, false)
	}
	return response
}

// rangeField writes a Content-Range, and reports whether it can be read.
func (m *fileModel) rangeField(header http.Header, start, stop, size int) bool {
	right := fmt.Sprintf("bytes %d-%d/%d", start, stop, size)
	switch m.s.pick(16) {
	case 0:
		header.Set("Content-Range", string(m.s.text()))
	case 1:
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", start, stop))
	case 2:
		header["Content-Range"] = []string{right, right}
	case 3:
		header.Set("Content-Range", choose(m.s, " ", "bytes=", "x")+right)
	case 4:
		header.Set("Content-Range", right)
		header.Set("Content-Type", "multipart/byteranges; boundary=b")
	case 5:
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", stop+1, start, size))
	case 6:
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, size, size))
	case 7:
		header.Set("Content-Range", fmt.Sprintf("BYTES %03d-%03d/%03d", start, stop, size))
		return true
	default:
		header.Set("Content-Range", right)
		return true
	}
	return false
}

// whole serves a 200.
func (m *fileModel) whole() *http.Response {
	version, size := m.version()
	header := http.Header{}
	other := m.identify(header, version, 200)
	told := m.s.chance(50)
	coded := m.s.chance(3)
	content := versionBytes(version, size)
	body, n, clean := m.cut(content, told)
	response := m.respond(200, header, body)
	response.Uncompressed = coded
	if told {
		tellLength(response, size)
	} else {
		m.overflow(body, m.known && n == size)
	}
	switch {
	case coded:
		m.ended = steadyhttp.StopNotResumable
	case other != 0:
		m.ended = other
	default:
		m.known = m.known || told
		rest := min(max(0, n-m.first-m.got), m.length-m.got)
		m.progress(rest, clean)
	}
	return response
}

// unsatisfied serves a 416. One that is about another version has a length that shows it, or a tag: a server that does
// not know If-Range may say it of a version that is as long as what the client has got, and nobody could tell.
func (m *fileModel) unsatisfied() *http.Response {
	header := http.Header{}
	said := m.size + choose(m.s, 0, 0, 0, 1, 5)
	if m.known && m.s.chance(30) {
		said = m.first + m.got
	}
	switch m.s.pick(6) {
	case 0:
		m.ended = steadyhttp.StopNotRetryable
		header.Set("Content-Range", choose(m.s, "bytes */*", "bytes 0-0/1", "*/3", string(m.s.text())))
		return m.respond(416, header, nil)
	case 1:
		header.Set("Etag", `"v1"`)
		header.Set("Content-Range", fmt.Sprintf("bytes */%d", said))
		m.ended = steadyhttp.StopChanged
		return m.respond(416, header, nil)
	}
	header.Set("Content-Range", fmt.Sprintf("bytes */%d", said))
	m.ended = steadyhttp.StopChanged
	if (!m.known || said == m.size) && said == m.first+m.got {
		m.ended = steadyhttp.StopSuccess
	}
	return m.respond(416, header, nil)
}

func playFile(t *testing.T, bytes []byte) {
	synctest.Test(t, func(t *testing.T) {
		m := &fileModel{t: t, s: newSchedule(bytes), most: 1}
		m.most += m.s.pick(4)
		options := []steadyhttp.Option{
			steadyhttp.WithResume(), steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget(), steadyhttp.WithMaxAttempts(m.most),
		}
		if m.s.chance(50) {
			options = append(options, steadyhttp.WithBodyTimeout(time.Second))
		}
		step := 1 + m.s.pick(7)
		response, err := newTransport(t, m, options...).RoundTrip(newGet(t))
		require.NoError(t, err)
		var content []byte
		for err == nil {
			p := make([]byte, step)
			var n int
			n, err = response.Body.Read(p)
			content = append(content, p[:n]...)
			require.LessOrEqual(t, len(content), m.length)
		}
		require.NoError(t, response.Body.Close())
		for i, body := range m.bodies {
			require.Equal(t, 1, body.closed, "closes of body %d", i+1)
		}
		require.Equal(t, string(versionBytes(0, m.size)[m.first:m.first+m.got]), string(content))
		if m.ended == steadyhttp.StopSuccess {
			require.Equal(t, io.EOF, err)
			require.Len(t, content, m.length, "a body that ends is whole")
			return
		}
		var failed *steadyhttp.ResumeError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, m.ended, failed.Stopped, "%v", err)
	})
}

func TestResume_FileModelNeverReadsAWrongByte(t *testing.T) {
	t.Parallel()
	explore(t, 3000, 120, playFile)
}

func FuzzResume(f *testing.F) {
	f.Add([]byte("resume"))
	f.Fuzz(playFile)
}
