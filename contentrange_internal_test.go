package steadyhttp

import (
	"fmt"
	"math"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestContentRange_IsReadToTheByte(t *testing.T) {
	t.Parallel()
	const limit int64 = math.MaxInt64 - 1
	for line, want := range map[string]contentRange{
		"bytes 0-0/1":         {first: 0, last: 0, complete: 1},
		"bytes 42-1233/1234":  {first: 42, last: 1233, complete: 1234},
		"bytes 42-1233/*":     {first: 42, last: 1233, complete: -1},
		"bytes */1234":        {unsatisfied: true, complete: 1234},
		"bytes */0":           {unsatisfied: true, complete: 0},
		"Bytes 0007-0008/010": {first: 7, last: 8, complete: 10},
		fmt.Sprintf("bytes 0-%d/%d", limit-10, limit-9): {first: 0, last: limit - 10, complete: limit - 9},
	} {
		got, ok := parseContentRange(line)
		assert.True(t, ok, line)
		assert.Equal(t, want, got, line)
	}
	for _, line := range []string{
		"", "bytes", "bytes ", "bytes 0-0", "bytes 0-0/", "bytes /1", "bytes -/1", "bytes 0-/1", "bytes -0/1", "bytes 1-0/2", "bytes 0-1/1",
		"bytes */*", "bytes */", "bytes *", "bytes 0-0/1/1", "bytes 0-0-0/1", "bytes  0-0/1", "bytes 0-0 /1", "bytes 0 - 0/1", "bytes 0-0/ 1", "bytes 0-0/1 ",
		" bytes 0-0/1", "bytes=0-0/1", "bytes\t0-0/1", "items 0-0/1", "bytes +0-0/1", "bytes 0-0/+1", "bytes 0x0-0/1", "bytes 0-0/1e3", "bytes 0-0/1, bytes 0-0/1",
		"bytes 0-9223372036854775807/9223372036854775807", "bytes 0-0/9223372036854775808", "bytes 0-18446744073709551615/*", "bytes 99999999999999999999-1/*",
		"bytes ٠-٠/١", "bytes 0-0/1\n", "seconds 0-0/1",
	} {
		_, ok := parseContentRange(line)
		assert.False(t, ok, "%q", line)
	}
}

func TestContentRange_OneLineCounts(t *testing.T) {
	t.Parallel()
	for lines, want := range map[int]bool{0: false, 1: true, 2: false} {
		header := http.Header{}
		for range lines {
			header.Add("Content-Range", "bytes 0-0/1")
		}
		_, ok := contentRangeOf(header)
		assert.Equal(t, want, ok)
	}
}

// What is read can be written, and is then the same.
func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-0/1")
	f.Add("bytes */10")
	f.Add("bytes 1-2/*")
	f.Fuzz(func(t *testing.T, line string) {
		read, ok := parseContentRange(line)
		if !ok {
			return
		}
		length, positions := fmt.Sprint(read.complete), fmt.Sprintf("%d-%d", read.first, read.last)
		if read.complete < 0 {
			length = "*"
		}
		if read.unsatisfied {
			positions = "*"
		}
		again, ok := parseContentRange("bytes " + positions + "/" + length)
		assert.True(t, ok)
		assert.Equal(t, read, again)
		assert.GreaterOrEqual(t, read.first, int64(0))
		assert.GreaterOrEqual(t, read.last, read.first)
		assert.Less(t, read.last, int64(math.MaxInt64))
	})
}
