package steadyhttptest_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

const fileContent = "0123456789"

// getRange asks for a part of a file; header is name, value, name, value.
func getRange(t *testing.T, url string, header ...string) *http.Request {
	t.Helper()
	r := request(t, t.Context(), http.MethodGet, url, "")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestFile_ServesRangesAndConditions(t *testing.T) {
	t.Parallel()
	modified := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	file := steadyhttptest.NewFile(fileContent).ETag(`"v1"`).Modified(modified)
	for name, c := range map[string]struct {
		file    steadyhttptest.File
		header  []string
		status  int
		content string
		said    string // Content-Range
	}{
		"the whole":              {file, nil, 200, fileContent, ""},
		"a range":                {file, []string{"Range", "bytes=2-4"}, 206, "234", "bytes 2-4/10"},
		"the rest":               {file, []string{"Range", "bytes=7-"}, 206, "789", "bytes 7-9/10"},
		"the end":                {file, []string{"Range", "bytes=-2"}, 206, "89", "bytes 8-9/10"},
		"beyond the end":         {file, []string{"Range", "bytes=10-"}, 416, "invalid range: failed to overlap\n", "bytes */10"},
		"if it is the same":      {file, []string{"Range", "bytes=7-", "If-Range", `"v1"`}, 206, "789", "bytes 7-9/10"},
		"if it were the same":    {file, []string{"Range", "bytes=7-", "If-Range", `"v2"`}, 200, fileContent, ""},
		"if it is as old":        {file, []string{"Range", "bytes=7-", "If-Range", "Sat, 01 Jan 2000 00:00:00 GMT"}, 206, "789", "bytes 7-9/10"},
		"if it is another":       {file, []string{"If-None-Match", `"v1"`}, 304, "", ""},
		"if it matches":          {file, []string{"If-Match", `"v2"`}, 412, "", ""},
		"a server without any":   {file.WithoutRanges(), []string{"Range", "bytes=2-4"}, 200, fileContent, ""},
		"a file without content": {steadyhttptest.NewFile(""), nil, 200, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			played := steadyhttptest.NewTransport(c.file)
			server := steadyhttptest.NewServer(c.file)
			t.Cleanup(server.Close)
			for base, url := range map[http.RoundTripper]string{played: target, server.Client().Transport: server.URL} {
				response, err := base.RoundTrip(getRange(t, url, c.header...))
				status, content := read(t, response, err)
				assert.Equal(t, c.status, status)
				assert.Equal(t, c.content, content)
				assert.Equal(t, c.said, response.Header.Get("Content-Range"))
				assert.EqualValues(t, len(c.content), response.ContentLength)
				assert.NotEmpty(t, response.Header.Get("Date"))
			}
		})
	}
}

func TestFile_HasTheValidatorsThatWereSet(t *testing.T) {
	t.Parallel()
	plain := steadyhttptest.NewFile(fileContent)
	for name, c := range map[string]struct {
		file          steadyhttptest.File
		tag, modified string
	}{
		"at first":    {plain, `"84d89877f0d4041e"`, ""},
		"another":     {steadyhttptest.NewFile("another"), `"ae448ac86c4e8e4d"`, ""},
		"a weak tag":  {plain.ETag(`W/"1"`), `W/"1"`, ""},
		"by date":     {plain.ETag("").Modified(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), "", "Sat, 01 Jan 2000 00:00:00 GMT"},
		"none at all": {plain.ETag(""), "", ""},
	} {
		response, err := c.file.RoundTrip(get(t))
		require.NoError(t, err, name)
		assert.Equal(t, c.tag, response.Header.Get("Etag"), name)
		assert.Equal(t, c.modified, response.Header.Get("Last-Modified"), name)
	}
}

func TestFile_HeadHasTheLengthAndNoBody(t *testing.T) {
	t.Parallel()
	head := getRange(t, target, "Range", "bytes=2-4")
	head.Method = http.MethodHead
	response, err := steadyhttptest.NewFile(fileContent).RoundTrip(head)
	require.NoError(t, err)
	assert.Equal(t, http.NoBody, response.Body)
	assert.EqualValues(t, 3, response.ContentLength)
}

// A body is cut at the byte, and a body that ends before that is whole.
func TestFile_BreaksAtTheByte(t *testing.T) {
	t.Parallel()
	forEachServerKind(t, func(t *testing.T, kind serverKind) {
		file := steadyhttptest.NewFile(fileContent)
		for _, step := range []steadyhttptest.Step{file.CutAfter(4), steadyhttptest.Status(200).Body(fileContent).CutAfter(4)} {
			server := kind.serve(t, step)
			response, err := server.Client().Get(server.URL)
			require.NoError(t, err)
			assert.EqualValues(t, 10, response.ContentLength)
			content, err := io.ReadAll(response.Body)
			assert.Error(t, err)
			assert.NotErrorIs(t, err, io.EOF)
			assert.Equal(t, "0123", string(content))
			require.NoError(t, response.Body.Close())
		}
		server := kind.serve(t, file.CutAfter(4), file.CutAfter(6), file)
		whole := ""
		for _, part := range []string{"", "bytes=4-", "bytes=4-"} {
			response, err := server.Client().Do(getRange(t, server.URL, "Range", part))
			require.NoError(t, err)
			content, _ := io.ReadAll(response.Body)
			require.NoError(t, response.Body.Close())
			whole += string(content)
		}
		assert.Equal(t, "0123"+"456789"+"456789", whole)
	})
}

func TestFile_StallsAtTheByte(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		response, err := steadyhttptest.NewFile(fileContent).StallAfter(4).RoundTrip(request(t, ctx, http.MethodGet, target, ""))
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		assert.Equal(t, "0123", string(content))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestFile_TellsWhatItIs(t *testing.T) {
	t.Parallel()
	file := steadyhttptest.NewFile(fileContent)
	for want, step := range map[string]steadyhttptest.Step{
		"file of 10 bytes":                    file,
		"file of 10 bytes, truncated after 4": file.CutAfter(4),
		"file of 10 bytes, stalled after 4":   file.StallAfter(4),
		"200, truncated after 4 bytes":        steadyhttptest.Status(200).CutAfter(4),
	} {
		assert.Equal(t, want, step.String())
	}
}

func TestFile_NegativePlaceIsSaidToBeWrong(t *testing.T) {
	t.Parallel()
	for want, step := range map[string]steadyhttptest.Step{
		"File truncated after -1 bytes": steadyhttptest.NewFile(fileContent).CutAfter(-1),
		"CutAfter(-1)":                  steadyhttptest.Status(200).CutAfter(-1),
	} {
		_, err := step.RoundTrip(get(t))
		assert.EqualError(t, err, "steadyhttptest: invalid step: "+want+": want 0 or more")
	}
}
