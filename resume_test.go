package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

const (
	fileContent = "0123456789"
	fileDate    = "Mon, 01 Jan 2024 12:00:00 GMT"
	fileOld     = "Mon, 01 Jan 2024 11:59:00 GMT" // a minute before, as a strong validator must be
	fileNew     = "Mon, 01 Jan 2024 11:59:01 GMT"
)

// A fileReply is how an origin answers one attempt for a file.
type fileReply struct {
	code   int
	header []string // name, value, name, value
	body   io.ReadCloser
	length int64 // -1: not told
	edit   func(*http.Response)
	err    error
}

func (f fileReply) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.err != nil {
		return nil, f.err
	}
	response := newResponse(f.code, nil, f.header...)
	response.Request, response.Body, response.ContentLength = r, f.body, f.length
	if f.edit != nil {
		f.edit(response)
	}
	return response, nil
}

// with adds header fields, or replaces them; "" removes one.
func (f fileReply) with(header ...string) fileReply {
	for i := 0; i < len(header); i += 2 {
		name := header[i]
		for j := 0; j < len(f.header); j += 2 {
			if f.header[j] == name {
				f.header = slices.Delete(slices.Clone(f.header), j, j+2)
				break
			}
		}
		if header[i+1] != "" {
			f.header = append(slices.Clone(f.header), name, header[i+1])
		}
	}
	return f
}

func (f fileReply) edited(edit func(*http.Response)) fileReply { f.edit = edit; return f }

func (f fileReply) unknownLength() fileReply { f.length = -1; return f }

// wholeFile is a 200 whose body breaks after so many bytes, if they are fewer than all.
func wholeFile(cut int) fileReply { return wholeOf(fileContent, cut) }

func wholeOf(content string, cut int) fileReply {
	return fileReply{code: 200, header: []string{"Etag", `"v1"`, "Date", fileDate}, body: cutBody(content, cut), length: int64(len(content))}
}

// partOfFile is a 206 for the bytes from first to last, whose body breaks after so many of them.
func partOfFile(first, last, cut int) fileReply { return partOf(fileContent, first, last, cut) }

func partOf(content string, first, last, cut int) fileReply {
	part := content[first : last+1]
	return fileReply{
		code:   206,
		header: []string{"Etag", `"v1"`, "Date", fileDate, "Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(content))},
		body:   cutBody(part, cut), length: int64(len(part)),
	}
}

func cutBody(content string, cut int) io.ReadCloser {
	if cut < len(content) {
		return newBrokenBody(content[:cut])
	}
	return newScriptedBody(bodyPart{content: content})
}

// lostEnd is a 200 of a length that was not told, whose body breaks after all of it.
func lostEnd() fileReply {
	reply := wholeFile(10).unknownLength()
	reply.body = newBrokenBody(fileContent)
	return reply
}

// longer lets the body go on after its end.
func (f fileReply) longer(more string) fileReply {
	parts := f.body.(*scriptedBody).parts
	f.body = newScriptedBody(append(slices.Clone(parts[:len(parts)-1]), bodyPart{content: more})...)
	return f
}

func emptyReply(code int, header ...string) fileReply {
	return fileReply{code: code, header: header, body: newScriptedBody(bodyPart{content: "no part of the file"}), length: -1}
}

// A fileRead is what reading a file came to.
type fileRead struct {
	*steadyhttp.Report
	content  string
	err      error
	response *http.Response
	ranges   []string // and If-Range, of each attempt
}

func resumeOptions(options ...steadyhttp.Option) []steadyhttp.Option {
	return append([]steadyhttp.Option{steadyhttp.WithResume(), steadyhttp.WithoutBreaker(), steadyhttp.WithoutRetryBudget()}, options...)
}

// read downloads a file whose origin answers so.
func read(t *testing.T, replies []fileReply, options ...steadyhttp.Option) fileRead {
	t.Helper()
	return readWith(t, newGet(t), replies, options...)
}

func readWith(t *testing.T, r *http.Request, replies []fileReply, options ...steadyhttp.Option) fileRead {
	t.Helper()
	var d fileRead
	base := stepFunc(func(r *http.Request) (*http.Response, error) {
		d.ranges = append(d.ranges, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
		require.LessOrEqual(t, len(d.ranges), len(replies), "attempts")
		return replies[len(d.ranges)-1].RoundTrip(r)
	})
	ctx, report := steadyhttp.WithReport(r.Context())
	response, err := newTransport(t, base, resumeOptions(options...)...).RoundTrip(r.WithContext(ctx))
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, response.Body.Close())
	d.Report, d.content, d.err, d.response = report, string(content), err, response
	for i, reply := range replies[:len(d.ranges)] {
		if body, ok := reply.body.(*scriptedBody); ok {
			assert.Equal(t, 1, body.closes, "closes of the body of response %d", i+1)
		}
	}
	return d
}

func (d fileRead) failure(t *testing.T) *steadyhttp.ResumeError {
	t.Helper()
	var failed *steadyhttp.ResumeError
	require.ErrorAs(t, d.err, &failed)
	return failed
}

// The table of what each step of a resume may do.
func TestResume_Table(t *testing.T) {
	t.Parallel()
	const all, next, v1 = fileContent, "bytes=4-", ` "v1"`
	for name, c := range map[string]struct {
		replies []fileReply
		content string
		stopped steadyhttp.StopReason // 0: none, the body is whole
		ranges  []string              // from the second attempt on
		says    string                // the error
	}{
		"nothing breaks":          {[]fileReply{wholeFile(10)}, all, 0, nil, ""},
		"a 206 with the rest":     {[]fileReply{wholeFile(4), partOfFile(4, 9, 6)}, all, 0, []string{next + v1}, ""},
		"broken before a byte":    {[]fileReply{wholeFile(0), partOfFile(0, 9, 10)}, all, 0, []string{"bytes=0-" + v1}, ""},
		"broken again":            {[]fileReply{wholeFile(4), partOfFile(4, 9, 3), partOfFile(7, 9, 3)}, all, 0, []string{next + v1, "bytes=7-" + v1}, ""},
		"a 206 with a part of it": {[]fileReply{wholeFile(4), partOfFile(4, 6, 3), partOfFile(7, 9, 3)}, all, 0, []string{next + v1, "bytes=7-" + v1}, ""},
		"broken after all":        {[]fileReply{{code: 200, header: wholeFile(0).header, length: 10, body: newBrokenBody(all)}}, all, 0, nil, ""},
		"short but clean":         {[]fileReply{{code: 200, header: wholeFile(0).header, length: 10, body: newScriptedBody(bodyPart{content: "0123"})}, partOfFile(4, 9, 6)}, all, 0, []string{next + v1}, ""},
		"unknown length":          {[]fileReply{wholeFile(4).unknownLength(), partOfFile(4, 9, 6)}, all, 0, []string{next + v1}, ""},
		"unknown length, a 206 with a part of it": {
			[]fileReply{wholeFile(4).unknownLength(), partOfFile(4, 6, 3), partOfFile(7, 9, 3)}, all, 0, []string{next + v1, "bytes=7-" + v1}, "",
		},
		"a 206 with more than the part it says": {
			[]fileReply{wholeFile(4), partOfFile(4, 6, 3).unknownLength().longer("???"), partOfFile(7, 9, 3)}, all, 0, []string{next + v1, "bytes=7-" + v1}, "",
		},
		"a 206 without a length":        {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).unknownLength()}, all, 0, []string{next + v1}, ""},
		"a 206 in other letters":        {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Content-Range", "BYTES 4-9/10")}, all, 0, []string{next + v1}, ""},
		"a 206 that says identity":      {[]fileReply{wholeFile(4).with("Content-Encoding", "identity"), partOfFile(4, 9, 6)}, all, 0, []string{next + v1}, ""},
		"by date":                       {[]fileReply{wholeFile(4).with("Etag", "", "Last-Modified", fileOld), partOfFile(4, 9, 6).with("Etag", "", "Last-Modified", fileOld)}, all, 0, []string{next + " " + fileOld}, ""},
		"by date, and the 206 has none": {[]fileReply{wholeFile(4).with("Etag", "", "Last-Modified", fileOld), partOfFile(4, 9, 6).with("Etag", "")}, "0123", steadyhttp.StopNotResumable, []string{next + " " + fileOld}, "one of both responses has a Last-Modified"},
		"the tag counts, not the date":  {[]fileReply{wholeFile(4).with("Last-Modified", fileOld), partOfFile(4, 9, 6).with("Last-Modified", fileNew)}, all, 0, []string{next + v1}, ""},
		"ranges are accepted":           {[]fileReply{wholeFile(4).with("Accept-Ranges", "bytes"), partOfFile(4, 9, 6)}, all, 0, []string{next + v1}, ""},

		"a 200 of the same":                            {[]fileReply{wholeFile(4), wholeFile(10)}, all, 0, []string{next + v1}, ""},
		"a 200 of unknown length":                      {[]fileReply{wholeFile(4), wholeFile(10).unknownLength()}, all, 0, []string{next + v1}, ""},
		"a 200 that breaks in what is skipped":         {[]fileReply{wholeFile(4), wholeFile(2), wholeFile(10)}, all, 0, []string{next + v1, next + v1}, ""},
		"a 200 that breaks later":                      {[]fileReply{wholeFile(4), wholeFile(7), wholeFile(10)}, all, 0, []string{next + v1, "bytes=7-" + v1}, ""},
		"a 200 that ends in what is skipped":           {[]fileReply{wholeFile(4).unknownLength(), wholeOf("01", 2).unknownLength(), wholeFile(10).unknownLength()}, all, 0, []string{next + v1, next + v1}, ""},
		"a 200 of the same by date":                    {[]fileReply{wholeFile(4).with("Etag", "", "Last-Modified", fileOld), wholeFile(10).with("Etag", "", "Last-Modified", fileOld)}, all, 0, []string{next + " " + fileOld}, ""},
		"a 200 that is longer than it says":            {[]fileReply{wholeFile(4), wholeOf(all+"?", 11).edited(func(r *http.Response) { r.ContentLength = -1 })}, all, 0, []string{next + v1}, ""},
		"a 200 with another tag":                       {[]fileReply{wholeFile(4), wholeFile(10).with("Etag", `"v2"`)}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another ETag"},
		"a 200 without a tag":                          {[]fileReply{wholeFile(4), wholeFile(10).with("Etag", "")}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another ETag"},
		"a 200 with the tag, weak":                     {[]fileReply{wholeFile(4), wholeFile(10).with("Etag", `W/"v1"`)}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another ETag"},
		"a 200 with two tags":                          {[]fileReply{wholeFile(4), wholeFile(10).edited(func(r *http.Response) { r.Header.Add("Etag", `"v2"`) })}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another ETag"},
		"a 200 with another date":                      {[]fileReply{wholeFile(4).with("Etag", "", "Last-Modified", fileOld), wholeFile(10).with("Etag", "", "Last-Modified", fileNew)}, "0123", steadyhttp.StopChanged, []string{next + " " + fileOld}, "another Last-Modified"},
		"a 200 without a date":                         {[]fileReply{wholeFile(4).with("Etag", "", "Last-Modified", fileOld), wholeFile(10).with("Etag", "")}, "0123", steadyhttp.StopChanged, []string{next + " " + fileOld}, "another Last-Modified"},
		"a 200 of another length":                      {[]fileReply{wholeFile(4), wholeOf(all+all, 20)}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another length"},
		"a 200 that is shorter than what was read":     {[]fileReply{wholeFile(4).unknownLength(), wholeOf("01", 2)}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another length"},
		"a 200 that is shorter than all that was read": {[]fileReply{lostEnd(), wholeOf("01234", 5)}, all, steadyhttp.StopChanged, []string{"bytes=10-" + v1}, "another length"},
		"a 200 that is as long as what was read":       {[]fileReply{lostEnd(), wholeFile(10)}, all, 0, []string{"bytes=10-" + v1}, ""},
		"a 200 that is compressed":                     {[]fileReply{wholeFile(4), wholeFile(10).with("Content-Encoding", "gzip")}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "coding"},
		"a 200 that net/http decompressed":             {[]fileReply{wholeFile(4), wholeFile(10).edited(func(r *http.Response) { r.Uncompressed = true })}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "coding"},

		"a 206 with another tag":                 {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Etag", `"v2"`)}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another ETag"},
		"a 206 without a tag":                    {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Etag", "")}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "one of both responses has an ETag"},
		"a 206 with a tag that was none":         {[]fileReply{wholeFile(4).with("Etag", "", "Last-Modified", fileOld), partOfFile(4, 9, 6).with("Last-Modified", fileOld)}, "0123", steadyhttp.StopNotResumable, []string{next + " " + fileOld}, "one of both responses has an ETag"},
		"a 206 without a tag, of another length": {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Etag", "", "Content-Range", "bytes 4-9/11")}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another length"},
		"a 206 with an empty tag":                {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).edited(func(r *http.Response) { r.Header["Etag"] = []string{""} })}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "one of both responses has an ETag"},
		"a 206 with two tags":                    {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).edited(func(r *http.Response) { r.Header.Add("Etag", `"v1"`) })}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another ETag"},
		"a 206 with two tags that were none":     {[]fileReply{wholeFile(4).with("Etag", "", "Last-Modified", fileOld), partOfFile(4, 9, 6).with("Etag", "", "Last-Modified", fileOld).edited(func(r *http.Response) { r.Header["Etag"] = []string{"", `"v1"`} })}, "0123", steadyhttp.StopChanged, []string{next + " " + fileOld}, "another ETag"},
		"a 206 with another date":                {[]fileReply{wholeFile(4).with("Etag", "", "Last-Modified", fileOld), partOfFile(4, 9, 6).with("Etag", "", "Last-Modified", fileNew)}, "0123", steadyhttp.StopChanged, []string{next + " " + fileOld}, "another Last-Modified"},
		"a 206 of another length":                {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Content-Range", "bytes 4-9/11")}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another length"},
		"a 206 that begins earlier":              {[]fileReply{wholeFile(4), partOfFile(3, 9, 7)}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "begins elsewhere"},
		"a 206 that begins later":                {[]fileReply{wholeFile(4), partOfFile(5, 9, 5)}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "begins elsewhere"},
		"a 206 from the start":                   {[]fileReply{wholeFile(4), partOfFile(0, 9, 10)}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "begins elsewhere"},
		"a 206 of an unknown length":             {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Content-Range", "bytes 4-9/*")}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "Content-Range"},
		"a 206 without Content-Range":            {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Content-Range", "")}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "Content-Range"},
		"a 206 with two of them":                 {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).edited(func(r *http.Response) { r.Header.Add("Content-Range", "bytes 4-9/10") })}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "Content-Range"},
		"a 206 in other units":                   {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Content-Range", "items 4-9/10")}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "Content-Range"},
		"a 206 that is unsatisfied":              {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Content-Range", "bytes */10")}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "Content-Range"},
		"a 206 that is shorter than its range":   {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).edited(func(r *http.Response) { r.ContentLength = 5 })}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "not as long"},
		"a 206 of several ranges":                {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Content-Type", "multipart/byteranges; boundary=x")}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "several ranges"},
		"a 206 that is compressed":               {[]fileReply{wholeFile(4), partOfFile(4, 9, 6).with("Content-Encoding", "br")}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "coding"},
		"a 206 that is longer than its range":    {[]fileReply{wholeFile(4), {code: 206, header: partOfFile(4, 9, 6).header, body: newScriptedBody(bodyPart{content: "456789???"}), length: -1}}, all, 0, []string{next + v1}, ""},

		"a 416: it was complete":               {[]fileReply{lostEnd(), emptyReply(416, "Content-Range", "bytes */10")}, all, 0, []string{"bytes=10-" + v1}, ""},
		"a 416: it was complete, with its tag": {[]fileReply{lostEnd(), emptyReply(416, "Content-Range", "bytes */10", "Etag", `"v1"`)}, all, 0, []string{"bytes=10-" + v1}, ""},
		"a 416 with another tag":               {[]fileReply{lostEnd(), emptyReply(416, "Content-Range", "bytes */10", "Etag", `"v2"`)}, all, steadyhttp.StopChanged, []string{"bytes=10-" + v1}, "another ETag"},
		"a 416 of another length":              {[]fileReply{lostEnd(), emptyReply(416, "Content-Range", "bytes */9")}, all, steadyhttp.StopChanged, []string{"bytes=10-" + v1}, "another length"},
		"a 416 that cuts what is known":        {[]fileReply{wholeFile(4), emptyReply(416, "Content-Range", "bytes */4")}, "0123", steadyhttp.StopChanged, []string{next + v1}, "another length"},
		"a 416 without a reason":               {[]fileReply{wholeFile(4), emptyReply(416)}, "0123", steadyhttp.StopNotRetryable, []string{next + v1}, "416"},
		"a 416 with a range":                   {[]fileReply{wholeFile(4), emptyReply(416, "Content-Range", "bytes 0-3/4")}, "0123", steadyhttp.StopNotRetryable, []string{next + v1}, "416"},

		"a 503, then the rest":                  {[]fileReply{wholeFile(4), emptyReply(503), partOfFile(4, 9, 6)}, all, 0, []string{next + v1, next + v1}, ""},
		"an error, then the rest":               {[]fileReply{wholeFile(4), {err: errReset}, partOfFile(4, 9, 6)}, all, 0, []string{next + v1, next + v1}, ""},
		"a 429 with Retry-After, then the rest": {[]fileReply{wholeFile(4), emptyReply(429, "Retry-After", "1"), partOfFile(4, 9, 6)}, all, 0, []string{next + v1, next + v1}, ""},
		"a 404":                                 {[]fileReply{wholeFile(4), emptyReply(404)}, "0123", steadyhttp.StopNotRetryable, []string{next + v1}, "404"},
		"a 304":                                 {[]fileReply{wholeFile(4), {code: 304, body: http.NoBody}}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "304"},
		"a redirect":                            {[]fileReply{wholeFile(4), emptyReply(302, "Location", "/elsewhere")}, "0123", steadyhttp.StopNotResumable, []string{next + v1}, "302"},
		"a 501":                                 {[]fileReply{wholeFile(4), emptyReply(501)}, "0123", steadyhttp.StopNotRetryable, []string{next + v1}, "501"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := read(t, c.replies)
				assert.Equal(t, c.content, d.content)
				assert.Equal(t, append([]string{""}, c.ranges...), d.ranges)
				assert.Len(t, d.Attempts, 1+len(c.ranges), "attempts in the report")
				if c.stopped == 0 {
					assert.NoError(t, d.err)
					assert.Equal(t, steadyhttp.StopSuccess, d.Stopped)
					return
				}
				failed := d.failure(t)
				assert.Equal(t, c.stopped, failed.Stopped, "%v", failed)
				assert.Equal(t, c.stopped, d.Stopped)
				assert.ErrorContains(t, failed, c.says)
				assert.EqualValues(t, len(c.content), failed.Offset)
				assert.Equal(t, c.stopped == steadyhttp.StopChanged, errors.Is(d.err, steadyhttp.ErrChanged))
			})
		})
	}
}

// What a body must be to be resumed. What is not left is read as before, and the error says why it is not resumed.
func TestResume_OnlyWhatCanBeByteForByteTheSame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first  fileReply
		method string
		body   string
		reason string // "": it is resumed
	}{
		"a strong tag":          {first: wholeFile(4)},
		"an empty tag":          {first: wholeFile(4).with("Etag", `""`)},
		"a tag beyond ASCII":    {first: wholeFile(4).with("Etag", "\"\xe9\"")},
		"no validator":          {first: wholeFile(4).with("Etag", ""), reason: "no strong validator"},
		"a weak tag":            {first: wholeFile(4).with("Etag", `W/"v1"`), reason: "no strong validator"},
		"a weak tag and a date": {first: wholeFile(4).with("Etag", `W/"v1"`, "Last-Modified", fileOld), reason: "no strong validator"},
		"a tag without quotes":  {first: wholeFile(4).with("Etag", "v1"), reason: "no strong validator"},
		"half a tag":            {first: wholeFile(4).with("Etag", `"`), reason: "no strong validator"},
		"a tag with a quote":    {first: wholeFile(4).with("Etag", `"v"1"`), reason: "no strong validator"},
		"a tag with a space":    {first: wholeFile(4).with("Etag", `"v 1"`), reason: "no strong validator"},
		"two tags":              {first: wholeFile(4).edited(func(r *http.Response) { r.Header.Add("Etag", `"v1"`) }), reason: "no strong validator"},
		"a date":                {first: wholeFile(4).with("Etag", "", "Last-Modified", fileOld)},
		"a date too new":        {first: wholeFile(4).with("Etag", "", "Last-Modified", fileNew), reason: "no strong validator"},
		"a date of the future":  {first: wholeFile(4).with("Etag", "", "Last-Modified", "Mon, 01 Jan 2035 12:00:00 GMT"), reason: "no strong validator"},
		"a date without Date":   {first: wholeFile(4).with("Etag", "", "Last-Modified", fileOld, "Date", ""), reason: "no strong validator"},
		"no date":               {first: wholeFile(4).with("Etag", "", "Last-Modified", "yesterday"), reason: "no strong validator"},
		"two dates":             {first: wholeFile(4).with("Etag", "", "Last-Modified", fileOld).edited(func(r *http.Response) { r.Header.Add("Last-Modified", fileOld) }), reason: "no strong validator"},
		"gzip":                  {first: wholeFile(4).with("Content-Encoding", "gzip"), reason: "content coding"},
		"gzip, undone":          {first: wholeFile(4).edited(func(r *http.Response) { r.Uncompressed = true }), reason: "content coding"},
		"two codings":           {first: wholeFile(4).with("Content-Encoding", "identity").edited(func(r *http.Response) { r.Header.Add("Content-Encoding", "br") }), reason: "content coding"},
		"no ranges":             {first: wholeFile(4).with("Accept-Ranges", "none"), reason: "Accept-Ranges"},
		"trailers":              {first: wholeFile(4).edited(func(r *http.Response) { r.Trailer = http.Header{"X-Sum": nil} }), reason: "trailers"},
		"another status":        {first: fileReply{code: 203, header: wholeFile(0).header, length: 10, body: newBrokenBody("0123")}, reason: "neither 200 nor 206"},
		"a 404":                 {first: fileReply{code: 404, header: wholeFile(0).header, length: 10, body: newBrokenBody("0123")}, reason: "neither 200 nor 206"},
		"a POST":                {first: wholeFile(4), method: http.MethodPost, reason: "no GET"},
		"a QUERY":               {first: wholeFile(4), method: "QUERY", reason: "no GET"},
		"a GET with a body":     {first: wholeFile(4), body: "payload", reason: "no GET"},
		"an empty method":       {first: wholeFile(4), method: "-"},
		"several ranges":        {first: partOfFile(0, 9, 4).with("Content-Type", "Multipart/Byteranges; boundary=x"), reason: "several ranges"},
		"a range, not told":     {first: partOfFile(0, 9, 4).with("Content-Range", ""), reason: "Content-Range"},
		"a range of who knows":  {first: partOfFile(0, 9, 4).with("Content-Range", "bytes 0-9/*"), reason: "Content-Range"},
		"a range, not as long":  {first: partOfFile(0, 9, 4).edited(func(r *http.Response) { r.ContentLength = 9 }), reason: "not as long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRequest(t, t.Context(), http.MethodGet, c.body)
				switch c.method {
				case "":
				case "-":
					r.Method = ""
				default:
					r.Method = c.method
				}
				first, _ := c.first.RoundTrip(r)
				rest := partOfFile(4, 9, 6).edited(func(response *http.Response) {
					response.Header["Etag"], response.Header["Last-Modified"] = first.Header["Etag"], first.Header["Last-Modified"]
				})
				d := readWith(t, r, []fileReply{c.first, rest})
				if c.reason == "" {
					assert.NoError(t, d.err)
					assert.Equal(t, fileContent, d.content)
					return
				}
				failed := d.failure(t)
				assert.Equal(t, "0123", d.content)
				assert.Len(t, d.ranges, 1)
				assert.ErrorIs(t, d.err, io.ErrUnexpectedEOF)
				assert.ErrorContains(t, failed, c.reason)
				assert.Equal(t, steadyhttp.StopNotResumable, failed.Stopped)
				assert.Equal(t, 1, failed.Attempts)
				assert.EqualValues(t, 4, failed.Offset)
				assert.Equal(t, targetURL, failed.URL)
				assert.Equal(t, r.Method, failed.Method)
				assert.NotContains(t, failed.Error(), "\n")
			})
		})
	}
}

func TestResume_OfTheCallersRangeStaysWithinIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		asked   string
		replies []fileReply
		content string
		ranges  []string
		stopped steadyhttp.StopReason
	}{
		"a range":              {"bytes=2-7", []fileReply{partOfFile(2, 7, 3), partOfFile(5, 7, 3)}, "234567", []string{"bytes=5-7"}, 0},
		"to the end":           {"bytes=2-", []fileReply{partOfFile(2, 9, 3), partOfFile(5, 9, 5)}, "23456789", []string{"bytes=5-"}, 0},
		"of the end":           {"bytes=-8", []fileReply{partOfFile(2, 9, 3), partOfFile(5, 9, 5)}, "23456789", []string{"bytes=5-"}, 0},
		"shorter than asked":   {"bytes=2-8", []fileReply{partOfFile(2, 7, 3), partOfFile(5, 7, 3)}, "234567", []string{"bytes=5-7"}, 0},
		"more than asked for":  {"bytes=2-7", []fileReply{partOfFile(2, 7, 3), partOfFile(5, 9, 5)}, "234", []string{"bytes=5-7"}, steadyhttp.StopNotResumable},
		"a 200 of the whole":   {"bytes=2-7", []fileReply{partOfFile(2, 7, 3), wholeFile(10)}, "234567", []string{"bytes=5-7"}, 0},
		"a 200 from the start": {"bytes=2-7", []fileReply{wholeFile(4), partOfFile(4, 9, 6)}, fileContent, []string{"bytes=4-"}, 0},
		"a 416":                {"bytes=2-7", []fileReply{partOfFile(2, 7, 3), emptyReply(416, "Content-Range", "bytes */10")}, "234", []string{"bytes=5-7"}, steadyhttp.StopChanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newGet(t)
				r.Header["range"] = []string{c.asked} // in whatever letters, it is sent once
				r.Header["If-range"] = []string{`"mine"`}
				sent := 0
				d := readWith(t, r, c.replies, withSentCheck(func(r *http.Request) {
					if sent++; sent > 1 {
						assert.Len(t, r.Header, 2, "%v", r.Header)
					}
				}))
				assert.Equal(t, c.content, d.content)
				for i := range c.ranges {
					c.ranges[i] += ` "v1"`
				}
				assert.Equal(t, c.ranges, d.ranges[1:])
				if c.stopped == 0 {
					assert.NoError(t, d.err)
				} else {
					assert.Equal(t, c.stopped, d.failure(t).Stopped)
				}
				assert.Equal(t, http.Header{"range": {c.asked}, "If-range": {`"mine"`}}, r.Header, "the caller's request is not modified")
			})
		})
	}
}

// withSentCheck looks at each request that is sent.
func withSentCheck(check func(*http.Request)) steadyhttp.Option {
	return steadyhttp.WithClassifier(func(r *http.Request, _ *http.Response, _ error) steadyhttp.Class {
		check(r)
		return steadyhttp.Unclassified
	})
}

func TestResume_AttemptsWithoutAByteAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		replies  []fileReply
		most     int
		attempts int
	}{
		"nothing ever":           {[]fileReply{wholeFile(0)}, 3, 3},
		"nothing more":           {[]fileReply{wholeFile(4), partOfFile(4, 9, 0)}, 3, 4},
		"nothing but headers":    {[]fileReply{wholeFile(4), emptyReply(503)}, 3, 4},
		"nothing but errors":     {[]fileReply{wholeFile(4), {err: errReset}}, 3, 4},
		"nothing but the start":  {[]fileReply{wholeFile(4), wholeFile(4)}, 3, 4},
		"one byte, then nothing": {[]fileReply{wholeFile(4), emptyReply(503), emptyReply(503), partOfFile(4, 9, 1), partOfFile(5, 9, 0)}, 3, 7},
		"with one attempt":       {[]fileReply{wholeFile(4), partOfFile(4, 9, 0)}, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				replies := c.replies
				for len(replies) < c.attempts {
					again := replies[len(replies)-1]
					if again.body != nil {
						parts := again.body.(*scriptedBody).parts
						again.body = newScriptedBody(slices.Clone(parts[:len(parts)-1])...)
					}
					replies = append(replies, again)
				}
				d := read(t, replies, steadyhttp.WithMaxAttempts(c.most))
				failed := d.failure(t)
				assert.Equal(t, steadyhttp.StopMaxAttempts, failed.Stopped)
				assert.Equal(t, c.attempts, failed.Attempts)
				assert.Len(t, d.Attempts, c.attempts)
			})
		})
	}
}

// newFileServer serves content whose body breaks after each so many bytes.
func newFileServer(content string, cut int, sent *[]string) stepFunc {
	return func(r *http.Request) (*http.Response, error) {
		*sent = append(*sent, r.Header.Get("Range"))
		first := 0
		if asked, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			first, _ = strconv.Atoi(strings.TrimSuffix(asked, "-"))
			return partOf(content, first, len(content)-1, cut).RoundTrip(r)
		}
		return wholeOf(content, cut).RoundTrip(r)
	}
}

func TestResume_ProgressRenewsTheAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		content := strings.Repeat("0123456789", 10)
		start := time.Now()
		response, err := newTransport(t, newFileServer(content, 2, &sent), resumeOptions(steadyhttp.WithMaxAttempts(2))...).RoundTrip(newGet(t))
		require.NoError(t, err)
		got, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, content, string(got))
		assert.Len(t, sent, 50)
		assert.Equal(t, 49, steadyhttp.Resumes(response))
		assert.Less(t, time.Since(start), 49*450*time.Millisecond, "and the waits")
	})
}

// A closeHook is called when a body is closed.
type closeHook struct {
	io.ReadCloser
	called func()
}

func (h closeHook) Close() error {
	h.called()
	return h.ReadCloser.Close()
}

// A call that ends leaves its waits to the next one, but not those that its response's body goes on with.
func TestResume_WaitsGrowWhateverOtherCallsDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var transport *steadyhttp.Transport
		flaky := newScript(status(503), status(200), status(503), status(200), status(503), status(200), status(503), status(200), status(503), status(200))
		var lastEnd time.Time
		var waits []time.Duration
		otherCall := func() {
			r := newGet(t)
			r.URL.Path = "/flaky"
			_, err := transport.RoundTrip(r)
			assert.NoError(t, err)
			lastEnd = time.Now()
		}
		transport = newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
			switch {
			case r.URL.Path == "/flaky":
				return flaky.RoundTrip(r)
			case r.Header.Get("Range") == "":
				return wholeFile(4).RoundTrip(r)
			}
			if !lastEnd.IsZero() {
				waits = append(waits, time.Since(lastEnd))
			}
			response, err := partOfFile(4, 9, 0).RoundTrip(r)
			response.Body = closeHook{response.Body, otherCall}
			return response, err
		}), resumeOptions(steadyhttp.WithMaxAttempts(6), steadyhttp.WithBackoff(100*time.Millisecond, time.Hour))...)
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		_, err = io.ReadAll(response.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.NotEmpty(t, waits)
		for i, wait := range waits { // the first one came before any other call
			assert.GreaterOrEqual(t, wait, 100*time.Millisecond<<i, "wait %d", i+2)
		}
	})
}

func TestResume_IsDoneAHundredTimesAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		response, err := newTransport(t, newFileServer(strings.Repeat("a", 1000), 1, &sent), resumeOptions()...).RoundTrip(newGet(t))
		require.NoError(t, err)
		got, err := io.ReadAll(response.Body)
		var failed *steadyhttp.ResumeError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, steadyhttp.StopMaxAttempts, failed.Stopped)
		assert.Equal(t, 100, failed.Resumes)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Len(t, got, 101)
		assert.Len(t, sent, 101)
		assert.Equal(t, 100, steadyhttp.Resumes(response))
	})
}

func TestResume_SkipsNoMoreThanEightMebibytes(t *testing.T) {
	t.Parallel()
	const limit = 8 << 20
	for cut, stopped := range map[int]steadyhttp.StopReason{limit: 0, limit + 1: steadyhttp.StopNotResumable} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				content := strings.Repeat("a", limit+100)
				d := read(t, []fileReply{wholeOf(content, cut), wholeOf(content, len(content))})
				if stopped == 0 {
					assert.NoError(t, d.err)
					assert.Len(t, d.content, len(content))
					return
				}
				assert.Equal(t, stopped, d.failure(t).Stopped)
				assert.Len(t, d.content, cut)
			})
		})
	}
}

func TestResume_AsksTheBudgetAndGetsBackWhatWasUseful(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size, cut int
		attempts  int // with a budget of five retries
	}{
		"little by little":      {100, 10, 6},
		"by 8 MiB at a time":    {9 * (8 << 20), 8 << 20, 9},
		"all but one at a time": {9 * (8 << 20), 8<<20 - 1, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var sent []string
				options := []steadyhttp.Option{steadyhttp.WithResume(), steadyhttp.WithoutBreaker()}
				response, err := newTransport(t, newFileServer(strings.Repeat("a", c.size), c.cut, &sent), options...).RoundTrip(newGet(t))
				require.NoError(t, err)
				n, err := io.Copy(io.Discard, response.Body)
				assert.Len(t, sent, c.attempts)
				if n == int64(c.size) {
					assert.NoError(t, err)
					return
				}
				var failed *steadyhttp.ResumeError
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, steadyhttp.StopBudgetExhausted, failed.Stopped)
				assert.Contains(t, failed.Advice(), "budget")
			})
		})
	}
}

// What is read of a body that was resumed has an end, whether the server says its length or sends it in chunks.
func TestResume_OfChunksIsASuccessAtItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		base := stepFunc(func(r *http.Request) (*http.Response, error) {
			if asked++; asked%2 == 1 {
				return wholeFile(4).RoundTrip(r)
			}
			return partOfFile(4, 9, 6).unknownLength().RoundTrip(r)
		})
		transport := newTransport(t, base, steadyhttp.WithResume(), steadyhttp.WithRetryBudget(0, 1))
		for range 3 {
			response, err := transport.RoundTrip(newGet(t))
			require.NoError(t, err)
			content, err := io.ReadAll(response.Body)
			assert.NoError(t, err)
			assert.Equal(t, fileContent, string(content))
			require.NoError(t, response.Body.Close())
		}
		assertBreakerCount(t, transport, breakerCount{failures: 3, requests: 6})
	})
}

func TestResume_AsksTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		replies := []fileReply{wholeFile(4)}
		transport := newTransport(t, stepFunc(func(r *http.Request) (*http.Response, error) {
			if len(replies) == 0 {
				return nil, errReset
			}
			next := replies[0]
			replies = replies[1:]
			return next.RoundTrip(r)
		}), steadyhttp.WithResume(), steadyhttp.WithBreakerConsecutiveFailures(3, 0),
			steadyhttp.WithBreakerOpenFor(time.Minute), steadyhttp.WithoutRetryBudget())
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		_, err = io.ReadAll(response.Body)
		var failed *steadyhttp.ResumeError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, steadyhttp.StopCircuitOpen, failed.Stopped)
		assert.Equal(t, 3, failed.Attempts, "the body's break was the first of three failures")
		assert.Equal(t, steadyhttp.BreakerOpen, breakerState(t, transport))
	})
}

func TestResume_IsBoundedByTheCallersTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []steadyhttp.Option
		ctx     func(context.Context) (context.Context, context.CancelFunc)
		stopped steadyhttp.StopReason
		is      error
	}{
		"deadline": {nil, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 10*time.Second)
		}, steadyhttp.StopDeadline, nil},
		"timeout": {[]steadyhttp.Option{steadyhttp.WithTimeout(10 * time.Second)}, context.WithCancel, steadyhttp.StopDeadline, nil},
		"cancel": {nil, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(10*time.Second, cancel)
			return ctx, cancel
		}, steadyhttp.StopCanceled, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := c.ctx(t.Context())
				defer cancel()
				var attempts atomic.Int32
				base := stepFunc(func(r *http.Request) (*http.Response, error) {
					if attempts.Add(1) == 1 {
						return wholeFile(4).RoundTrip(r)
					}
					return nil, errReset
				})
				transport := newTransport(t, base, resumeOptions(append(c.options, withConstantBackoff(3*time.Second), steadyhttp.WithMaxAttempts(100))...)...)
				start := time.Now()
				response, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
				require.NoError(t, err)
				_, err = io.ReadAll(response.Body)
				var failed *steadyhttp.ResumeError
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, c.stopped, failed.Stopped)
				assert.LessOrEqual(t, time.Since(start), 10*time.Second)
				if c.is != nil {
					assert.ErrorIs(t, err, c.is)
				}
				assert.EqualValues(t, 4, attempts.Load())
				require.NoError(t, response.Body.Close())
			})
		})
	}
}

func TestResume_CallersCancelIsNoBreak(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		sent := 0
		base := stepFunc(func(r *http.Request) (*http.Response, error) {
			sent++
			reply := wholeFile(10)
			reply.body = &contextBody{ctx: r.Context(), parts: 10, pause: time.Second}
			return reply.RoundTrip(r)
		})
		response, err := newTransport(t, base, resumeOptions()...).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		time.AfterFunc(2500*time.Millisecond, cancel)
		_, err = io.ReadAll(response.Body)
		assert.Equal(t, context.Canceled, err)
		assert.Equal(t, 1, sent)
	})
}

func TestResume_CancelOfABodyThatIsBrokenIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		first := wholeFile(4)
		first.body = newScriptedBody(bodyPart{content: "0123", err: io.ErrUnexpectedEOF})
		response, err := newTransport(t, newScript(stepFunc(first.RoundTrip), stepFunc(partOfFile(4, 9, 6).RoundTrip)), resumeOptions()...).
			RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		n, err := response.Body.Read(make([]byte, 10))
		require.NoError(t, err, "what came is read first")
		require.Equal(t, 4, n)
		cancel(errReset)
		_, err = response.Body.Read(make([]byte, 10))
		var failed *steadyhttp.ResumeError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, steadyhttp.StopCanceled, failed.Stopped)
		assert.ErrorIs(t, err, errReset)
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.NoError(t, response.Body.Close())
	})
}

// A body that ends cleanly and too soon is not whole either when its caller has given up meanwhile.
func TestResume_CancelMakesNoWholeOfAPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		rest := wholeFile(8).unknownLength()
		rest.body = newScriptedBody(bodyPart{content: fileContent[:8]}, bodyPart{wait: time.Second, err: io.EOF})
		response, err := newTransport(t, newScript(stepFunc(wholeFile(4).RoundTrip), stepFunc(rest.RoundTrip)), resumeOptions()...).
			RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		got := make([]byte, 8)
		_, err = io.ReadFull(response.Body, got)
		require.NoError(t, err)
		time.AfterFunc(500*time.Millisecond, cancel)
		_, err = response.Body.Read(make([]byte, 1))
		assert.ErrorIs(t, err, context.Canceled)
		require.NoError(t, response.Body.Close())
	})
}

// What the base marks as our own side's is returned as it is, and asked for no more.
func TestResume_LocalErrorIsNoBreak(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		marked := steadyhttp.LocalError(errReset)
		first := wholeFile(4)
		first.body = newScriptedBody(bodyPart{content: "0123"}, bodyPart{err: marked})
		d := read(t, []fileReply{first})
		assert.Equal(t, marked, d.err)
		assert.Equal(t, "0123", d.content)

		first.body = newScriptedBody(bodyPart{content: "0123"}, bodyPart{err: syscall.ENETDOWN})
		assert.NoError(t, read(t, []fileReply{first, partOfFile(4, 9, 6)}).err, "a network that comes back")
	})
}

func TestResume_RequestWithoutHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newGet(t)
		r.Header = nil
		d := readWith(t, r, []fileReply{wholeFile(4), partOfFile(4, 9, 6)})
		assert.NoError(t, d.err)
		assert.Nil(t, r.Header)
	})
}

func TestResume_CloseEndsItAtOnce(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]stepFunc{
		"in the wait": nil,
		"in the attempt": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		},
		"in the body": func(r *http.Request) (*http.Response, error) {
			reply := partOfFile(4, 9, 6)
			reply.body = newScriptedBody(bodyPart{wait: time.Hour})
			return reply.RoundTrip(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				base := stepFunc(func(r *http.Request) (*http.Response, error) {
					if attempts++; attempts == 1 {
						return wholeFile(4).RoundTrip(r)
					}
					return second(r)
				})
				wait := time.Second
				if second == nil {
					wait = time.Hour
				}
				transport := newTransport(t, base, resumeOptions(withConstantBackoff(wait))...)
				response, err := transport.RoundTrip(newGet(t))
				require.NoError(t, err)
				start := time.Now()
				time.AfterFunc(10*time.Second, func() { assert.NoError(t, response.Body.Close()) })
				content, err := io.ReadAll(response.Body)
				assert.Error(t, err)
				assert.Equal(t, "0123", string(content))
				assert.Equal(t, 10*time.Second, time.Since(start))
				_, err = response.Body.Read(make([]byte, 1))
				assert.Error(t, err)
			})
		})
	}
}

func TestResume_AfterCloseThereIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := []string{}
		response, err := newTransport(t, newFileServer(fileContent, 4, &sent), resumeOptions()...).RoundTrip(newGet(t))
		require.NoError(t, err)
		_, err = io.ReadFull(response.Body, make([]byte, 4))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		_, err = response.Body.Read(make([]byte, 1))
		assert.Error(t, err)
		assert.Len(t, sent, 1)
	})
}

func TestResume_StallIsABreak(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stalled := wholeFile(4)
		stalled.body = newScriptedBody(bodyPart{content: "0123"}, bodyPart{wait: time.Hour})
		d := read(t, []fileReply{stalled, partOfFile(4, 9, 6)}, steadyhttp.WithBodyTimeout(time.Second))
		assert.NoError(t, d.err)
		assert.Equal(t, fileContent, d.content)
		assert.ErrorIs(t, d.Attempts[0].BodyErr, steadyhttp.ErrBodyTimeout)
		assert.GreaterOrEqual(t, d.Attempts[0].Wait, time.Second, "the wait after a timeout is as long")
	})
}

func TestResume_ReportAndEventsTellOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen eventRecorder
		numbers := []int{}
		d := read(t, []fileReply{wholeFile(4), emptyReply(503), partOfFile(4, 9, 2), emptyReply(404)},
			steadyhttp.WithObserver(seen.observe), withSentCheck(func(r *http.Request) {
				numbers = append(numbers, steadyhttp.AttemptFromContext(r.Context()))
			}))
		failed := d.failure(t)
		assert.Equal(t, []int{1, 2, 3, 4}, numbers)
		assert.Equal(t, []string{
			"attempt 1 success 200 took 0s", "end 1 success 200 because success",
			"resume 1 transient 200 at 4: unexpected EOF", "attempt 2 transient 503 took 0s", "retry 2 transient 503",
			"attempt 3 success 206 took 0s", "resume 3 transient 206 at 6: unexpected EOF", "attempt 4 client_fault 404 took 0s",
			"resume 4 client_fault 404 at 6 because not_retryable: " + failed.Err.Error(),
		}, seen.lines)
		assert.Equal(t, 1, steadyhttp.Attempts(d.response), "that led to the response")
		assert.Equal(t, 1, steadyhttp.Resumes(d.response))
		assert.Equal(t, steadyhttp.StopNotRetryable, d.Stopped)
		var codes []int
		for _, a := range d.Attempts {
			codes = append(codes, a.StatusCode)
		}
		assert.Equal(t, []int{200, 503, 206, 404}, codes)
		assert.ErrorIs(t, d.Attempts[0].BodyErr, io.ErrUnexpectedEOF)
		assert.Positive(t, d.Attempts[0].Wait)
		assert.ErrorIs(t, d.Attempts[2].BodyErr, io.ErrUnexpectedEOF)
		assert.NoError(t, d.Attempts[1].BodyErr)
	})
}

// A body that cannot be resumed is told of as one that was not.
func TestResume_WhatCannotBeIsToldToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen eventRecorder
		d := read(t, []fileReply{wholeFile(4).with("Etag", `W/"v1"`)}, steadyhttp.WithObserver(seen.observe))
		failed := d.failure(t)
		assert.Equal(t, "resume 1 transient 200 at 4 because not_resumable: "+failed.Err.Error(), seen.lines[len(seen.lines)-1])
		assert.Equal(t, steadyhttp.StopNotResumable, d.Stopped)
		assert.ErrorIs(t, d.Attempts[0].BodyErr, io.ErrUnexpectedEOF)
		assert.Zero(t, steadyhttp.Resumes(d.response))
		assert.EqualValues(t, 4, failed.Offset)
	})
}

// A response that is refused is drained, so that its connection is used again and the origin counts as one that responds.
func TestResume_ResponseThatIsRefusedIsDrained(t *testing.T) {
	t.Parallel()
	runEachProtocol(t, func(t *testing.T, spoken *http.Protocols) {
		content := newContent(1000)
		var sent atomic.Int64
		var addresses []string
		note := func(next http.HandlerFunc) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { addresses = append(addresses, r.RemoteAddr); next(w, r) }
		}
		server := newWireServer(t, startProtocols(spoken), cutHandler(content, `"v1"`, func() int { return 300 }, &sent),
			note(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, strings.Repeat("gone", 1000), http.StatusGone)
			}), note(replyHandler(200)))
		transport := newWireTransport(t, &http.Transport{Protocols: spoken}, steadyhttp.WithResume(), steadyhttp.WithoutRetryBudget())
		response, err := transport.RoundTrip(newWireRequest(t, http.MethodGet, server.URL, ""))
		require.NoError(t, err)
		_, err = io.ReadAll(response.Body)
		var failed *steadyhttp.ResponseError
		require.ErrorAs(t, err, &failed)
		require.NoError(t, response.Body.Close())
		assertBreakerCount(t, transport, breakerCount{failures: 1, requests: 2})
		sendWire(t, transport, newWireRequest(t, http.MethodGet, server.URL, "")).assertResponse(t, 200, "answer")
		require.Len(t, addresses, 2)
		assert.Equal(t, addresses[0], addresses[1])
	})
}

func TestResume_ErrorTellsAllInOneLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newGet(t)
		r.URL.RawQuery, r.URL.User = "token=hunter2", nil
		d := readWith(t, r, []fileReply{wholeFile(4), wholeFile(10).with("Etag", `"hunter2"`)})
		failed := d.failure(t)
		assert.Equal(t, "steadyhttp: GET "+targetURL+": the body broke after 4 bytes and 2 attempts, and was not resumed (changed): "+
			"the resource changed while its body was read (another ETag), after unexpected EOF", failed.Error())
		assert.Equal(t, "GET", failed.Method)
		assert.Equal(t, targetURL, failed.URL)
		assert.False(t, failed.Timeout())
		assert.True(t, failed.Temporary())
		assert.Equal(t, "The resource changed while it was read: read it again from the start.", failed.Advice())
		var changed *steadyhttp.ChangedError
		require.ErrorAs(t, d.err, &changed)
		assert.Equal(t, "ETag", changed.What)
		assert.ErrorIs(t, d.err, io.ErrUnexpectedEOF, "what broke it is found too")
	})
}

func TestResume_ErrorHasTheResponseThatRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := read(t, []fileReply{wholeFile(4), emptyReply(410, "X-Request-Id", "abc")})
		var refused *steadyhttp.ResponseError
		require.ErrorAs(t, d.err, &refused)
		assert.Equal(t, 410, refused.StatusCode)
		assert.Equal(t, "abc", refused.RequestID)
		assert.Equal(t, steadyhttp.ClientFault, refused.Class)
		assert.Equal(t, 2, refused.Attempts)
		assert.Equal(t, steadyhttp.ClientFault, steadyhttp.Classify(nil, nil, d.err))
	})
}

func TestResume_NoRetryForbidsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := readWith(t, newRequest(t, steadyhttp.NoRetry(t.Context()), http.MethodGet, ""), []fileReply{wholeFile(4)})
		assert.Equal(t, steadyhttp.StopNoRetry, d.failure(t).Stopped)
	})
}

// A resource that is replaced midway is never mixed with what it was.
func TestResume_OfOneCallByOverride(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		replies := []fileReply{wholeFile(4), partOfFile(4, 9, 6), wholeFile(4)}
		base := stepFunc(func(r *http.Request) (*http.Response, error) {
			reply := replies[0]
			replies = replies[1:]
			return reply.RoundTrip(r)
		})
		transport := newTransport(t, base, unlimitedRetryOptions()...)
		ctx, report := steadyhttp.WithReport(steadyhttp.Override(t.Context(), steadyhttp.WithResume()))
		response, err := transport.RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Equal(t, fileContent, string(content))
		assert.Equal(t, 1, steadyhttp.Resumes(response))
		assert.Equal(t, []string{"Resume=on"}, report.Overridden)

		response, err = transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		_, err = io.ReadAll(response.Body)
		assert.Error(t, err, "other calls are not resumed")
	})
}

func TestResume_ReplacedResourceIsAnErrorAHundredTimesOfAHundred(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for cut := range 100 {
			content := strings.Repeat("old", 50)
			replaced := strings.Repeat("new", 50)
			for name, second := range map[string]fileReply{
				"200": wholeOf(replaced, 150).with("Etag", `"v2"`), "206": partOf(replaced, cut, 149, 150).with("Etag", `"v2"`),
			} {
				d := read(t, []fileReply{wholeOf(content, cut), second})
				assert.ErrorIs(t, d.err, steadyhttp.ErrChanged, name)
				assert.Equal(t, content[:cut], d.content)
			}
		}
	})
}

func TestResume_PreconditionThatFailsNowShowsAChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		field, value string
		refusal      fileReply
		stopped      steadyhttp.StopReason
		says         string
	}{
		"If-Match":                    {"If-Match", `"v1"`, emptyReply(412), steadyhttp.StopChanged, "another ETag"},
		"If-Match, and the new tag":   {"If-Match", `"v1"`, emptyReply(412, "Etag", `"v2"`), steadyhttp.StopChanged, "another ETag"},
		"If-Unmodified-Since":         {"If-Unmodified-Since", fileNew, emptyReply(412), steadyhttp.StopChanged, "another Last-Modified"},
		"If-None-Match":               {"If-None-Match", `"v2"`, emptyReply(304, "Etag", `"v2"`), steadyhttp.StopChanged, "another ETag"},
		"If-Modified-Since":           {"If-Modified-Since", fileOld, emptyReply(304), steadyhttp.StopChanged, "another Last-Modified"},
		"a 412 that shows no change":  {"If-Match", `"v1"`, emptyReply(412, "Etag", `"v1"`), steadyhttp.StopNotRetryable, "412"},
		"a 304 that shows no change":  {"If-None-Match", `"v2"`, emptyReply(304, "Etag", `"v1"`), steadyhttp.StopNotResumable, "304"},
		"a 412 to another field":      {"If-None-Match", `"v2"`, emptyReply(412), steadyhttp.StopNotRetryable, "412"},
		"a 412 that nobody asked for": {"Accept", "*/*", emptyReply(412), steadyhttp.StopNotRetryable, "412"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRequest(t, t.Context(), http.MethodGet, "")
				r.Header.Set(c.field, c.value)
				d := readWith(t, r, []fileReply{wholeFile(4), c.refusal})
				assert.Equal(t, "0123", d.content)
				failed := d.failure(t)
				assert.Equal(t, c.stopped, failed.Stopped)
				assert.ErrorContains(t, failed, c.says)
				assert.Equal(t, c.stopped == steadyhttp.StopChanged, errors.Is(d.err, steadyhttp.ErrChanged))
			})
		})
	}
}

func TestResume_ResponseIsAsEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		r := newRequest(t, context.WithValue(t.Context(), key{}, "mine"), http.MethodGet, "")
		d := readWith(t, r, []fileReply{wholeFile(4), partOfFile(4, 9, 6)})
		assert.Equal(t, 200, d.response.StatusCode)
		assert.EqualValues(t, 10, d.response.ContentLength)
		assert.Equal(t, r.URL, d.response.Request.URL)
		assert.Equal(t, r.Header, d.response.Request.Header)
		assert.Equal(t, "mine", d.response.Request.Context().Value(key{}))
		assert.NoError(t, steadyhttp.CheckResponse(d.response))

		// A request made with that context is a call of its own.
		server := newScript(status(503), status(200))
		ctx := d.response.Request.Context()
		own, err := newTransport(t, server, steadyhttp.WithoutBreaker()).RoundTrip(newRequest(t, ctx, http.MethodGet, ""))
		require.NoError(t, err)
		assert.Equal(t, 2, steadyhttp.Attempts(own))
		assert.Zero(t, steadyhttp.Resumes(own))
	})
}

func TestResumes_IsZeroWhereThereAreNone(t *testing.T) {
	t.Parallel()
	assert.Zero(t, steadyhttp.Resumes(nil))
	assert.Zero(t, steadyhttp.Resumes(&http.Response{}))
	assert.Zero(t, steadyhttp.Resumes(newResponse(200, strings.NewReader(""))))
}

func TestResume_ObserverThatPanicsLeavesTheBodyUsable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		panics := 1
		replies := []fileReply{wholeFile(4), partOfFile(4, 9, 6)}
		attempts := 0
		base := stepFunc(func(r *http.Request) (*http.Response, error) { attempts++; return replies[attempts-1].RoundTrip(r) })
		transport := newTransport(t, base, resumeOptions(steadyhttp.WithObserver(func(_ context.Context, e steadyhttp.Event) {
			if e.Kind == steadyhttp.EventResume && panics > 0 {
				panics--
				panic("observer")
			}
		}))...)
		response, err := transport.RoundTrip(newGet(t))
		require.NoError(t, err)
		p := make([]byte, 4)
		_, err = io.ReadFull(response.Body, p)
		require.NoError(t, err)
		assert.PanicsWithValue(t, "observer", func() { _, _ = response.Body.Read(p) })
		rest, err := io.ReadAll(response.Body)
		assert.NoError(t, err)
		assert.Equal(t, "456789", string(rest))
		require.NoError(t, response.Body.Close())
	})
}

func TestResume_LeavesNoContextBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var contexts []context.Context
		d := read(t, []fileReply{wholeFile(4), partOfFile(4, 9, 3), partOfFile(7, 9, 3)}, withSentCheck(func(r *http.Request) {
			contexts = append(contexts, r.Context())
		}))
		require.NoError(t, d.err)
		for i, ctx := range contexts[1:] {
			assert.Error(t, ctx.Err(), "of attempt %d", i+2)
		}
	})
}

func TestResume_AnnotatesAlsoAResponseThatTookAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := read(t, []fileReply{emptyReply(503), wholeFile(4), partOfFile(4, 9, 6)})
		require.NoError(t, d.err)
		assert.Equal(t, 2, steadyhttp.Attempts(d.response))
		assert.Equal(t, 1, steadyhttp.Resumes(d.response))
	})
}

// A base may undo a coding, or make a response of its own: then ContentLength is not the body's, and says nothing of its
// end.
func TestResume_LengthThatIsNotTheBodysEndsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		replies []fileReply
		reason  string // empty: it is resumed
	}{
		"not set":                  {replies: []fileReply{withLength(wholeFile(4), 0), partOfFile(4, 9, 6)}},
		"not set, nothing came":    {replies: []fileReply{withLength(wholeFile(0), 0), partOfFile(0, 9, 10)}},
		"not set, of the rest":     {replies: []fileReply{wholeFile(4), withLength(partOfFile(4, 9, 6), 0)}},
		"not set, of all":          {replies: []fileReply{wholeFile(4), withLength(wholeFile(10), 0)}},
		"of a coding":              {[]fileReply{withLength(wholeFile(4), 3)}, "longer than its Content-Length"},
		"of a coding that is told": {[]fileReply{withLength(wholeFile(4), 3).edited(func(r *http.Response) { r.Uncompressed = true })}, "content coding"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := read(t, c.replies)
				if c.reason == "" {
					assert.NoError(t, d.err)
					assert.Equal(t, fileContent, d.content)
					return
				}
				assert.Equal(t, "0123", d.content)
				assert.Equal(t, steadyhttp.StopNotResumable, d.failure(t).Stopped)
				assert.ErrorContains(t, d.err, c.reason)
				assert.ErrorIs(t, d.err, io.ErrUnexpectedEOF)
			})
		})
	}
}

func withLength(reply fileReply, length int64) fileReply { reply.length = length; return reply }
