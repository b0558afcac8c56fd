package steadyhttptest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPipe_IsANetConn(t *testing.T) {
	t.Parallel()
	near, far := newPipe()
	var _ net.Conn = near
	n, err := near.Write([]byte("hello"))
	require.NoError(t, err)
	assert.Equal(t, 5, n, "and nobody has read it yet")
	heard := make([]byte, 3)
	n, err = far.Read(heard)
	require.NoError(t, err)
	assert.Equal(t, "hel", string(heard[:n]))
	n, err = far.Read(nil)
	require.NoError(t, err)
	assert.Zero(t, n)
	n, err = far.Read(heard)
	require.NoError(t, err)
	assert.Equal(t, "lo", string(heard[:n]))
}

func TestPipe_BuffersUpToALimitAndThenBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := newPipe()
		written := 0
		var writing sync.WaitGroup
		writing.Go(func() { written, _ = near.Write(make([]byte, 3*bufferSize)) })
		synctest.Wait()
		assert.Equal(t, bufferSize, len(near.out.unread))
		assert.Zero(t, written)
		n, err := io.ReadFull(far, make([]byte, 2*bufferSize))
		require.NoError(t, err)
		assert.Equal(t, 2*bufferSize, n)
		writing.Wait()
		assert.Equal(t, 3*bufferSize, written)
	})
}

func TestPipe_CanBeReadToItsEndAfterClose(t *testing.T) {
	t.Parallel()
	for name, closing := range map[string]func(*pipe) error{"Close": (*pipe).Close, "CloseWrite": (*pipe).CloseWrite} {
		near, far := newPipe()
		_, err := near.Write([]byte("last words"))
		require.NoError(t, err)
		require.NoError(t, closing(near))
		heard, err := io.ReadAll(far)
		require.NoError(t, err)
		assert.Equal(t, "last words", string(heard), name)
		_, err = near.Write([]byte("more"))
		assert.Equal(t, net.ErrClosed, err, name)
		_, err = far.Write([]byte("answer"))
		if name == "CloseWrite" {
			require.NoError(t, err)
			n, err := near.Read(make([]byte, 100))
			require.NoError(t, err)
			assert.Equal(t, 6, n)
			continue
		}
		assert.ErrorIs(t, err, syscall.EPIPE)
		_, err = near.Read(make([]byte, 1))
		assert.Equal(t, net.ErrClosed, err)
	}
}

func TestPipe_ResetDropsWhatIsUnread(t *testing.T) {
	t.Parallel()
	near, far := newPipe()
	_, err := near.Write([]byte("lost"))
	require.NoError(t, err)
	near.reset()
	for _, end := range []*pipe{near, far} {
		_, err = end.Read(make([]byte, 1))
		assert.ErrorIs(t, err, syscall.ECONNRESET)
		assert.EqualError(t, err, "read tcp pipe: read: connection reset by peer")
		_, err = end.Write([]byte("x"))
		assert.ErrorIs(t, err, syscall.ECONNRESET)
	}
}

func TestPipe_WakesBlockedReads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(near, far *pipe)
		want error
	}{
		"Close":           {func(near, _ *pipe) { _ = near.Close() }, net.ErrClosed},
		"Close elsewhere": {func(_, far *pipe) { _ = far.Close() }, io.EOF},
		"reset":           {func(_, far *pipe) { far.reset() }, syscall.ECONNRESET},
		"deadline":        {func(near, _ *pipe) { _ = near.SetDeadline(time.Now().Add(-1)) }, os.ErrDeadlineExceeded},
		"later deadline":  {func(near, _ *pipe) { _ = near.SetReadDeadline(time.Now().Add(time.Hour)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := newPipe()
				time.AfterFunc(time.Second, func() { c.end(near, far) })
				_, err := near.Read(make([]byte, 1))
				assert.ErrorIs(t, err, c.want)
			})
		})
	}
}

func TestPipe_DeadlinesEndReadsAndWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, _ := newPipe()
		start := time.Now()
		require.NoError(t, near.SetReadDeadline(start.Add(time.Second)))
		require.NoError(t, near.SetReadDeadline(start.Add(time.Minute)), "the later one counts")
		_, err := near.Read(make([]byte, 1))
		assert.Equal(t, os.ErrDeadlineExceeded, err)
		assert.Equal(t, time.Minute, time.Since(start))

		_, err = near.Write(make([]byte, bufferSize))
		require.NoError(t, err, "a read's deadline is none of a write's")
		require.NoError(t, near.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := near.Write(make([]byte, 1))
		assert.Zero(t, n)
		assert.Equal(t, os.ErrDeadlineExceeded, err)
		require.NoError(t, near.SetDeadline(time.Time{}))
		time.AfterFunc(time.Hour, func() { near.reset() })
		_, err = near.Read(make([]byte, 1))
		assert.ErrorIs(t, err, syscall.ECONNRESET, "without a deadline")
	})
}
