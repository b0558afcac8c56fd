package steadyhttptest

import (
	"bytes"
	"context"
	"io"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/network"
)

var (
	settings   = []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
	resetFrame = frame(frameReset, 3, network.InternalError)
)

func TestFramer_FramesHaveTheWireFormat(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}, goAwayFrame())
	assert.Equal(t, []byte{0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 2}, resetFrame)
	half := halfHeadersFrame()
	_, complete := frameSize(half)
	assert.False(t, complete, "it announces more than it has")
}

func TestFramer_PassesOnWholeFrames(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := newFramer(&out)
	stream := append(bytes.Clone(settings), resetFrame...)
	for i, octet := range stream {
		n, err := f.Write([]byte{octet})
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		assert.Contains(t, []int{0, len(settings), len(stream)}, out.Len(), "after octet %d", i)
	}
	assert.Equal(t, stream, out.Bytes())
}

func TestRequestScanner_FindsTheFirstHeaders(t *testing.T) {
	t.Parallel()
	update := frame(8, 0, 1<<20)
	stream := slices.Concat([]byte(clientPreface), settings, update)
	headers := frame(frameHeaders, 1, 0)
	for size := 1; size <= len(stream); size++ {
		var s requestScanner
		for part := range slices.Chunk(stream, size) {
			assert.False(t, s.scan(part), "in parts of %d", size)
		}
		assert.False(t, s.scan(headers[:frameHeader-1]))
		assert.True(t, s.scan(headers[frameHeader-1:]))
	}
	assert.True(t, new(requestScanner).scan(slices.Concat(stream, headers)), "all at once")
}

// A client may open its connection before it has a request.
func TestServer_ResetsUnreadHTTP2AtTheRequest(t *testing.T) {
	t.Parallel()
	server := NewServer(ResetUnread)
	t.Cleanup(server.Close)
	conn, err := server.DialContext(t.Context(), "tcp", "")
	require.NoError(t, err)
	_, err = conn.Write(slices.Concat([]byte(clientPreface), settings))
	require.NoError(t, err)
	_, err = io.ReadFull(conn, make([]byte, frameHeader))
	require.NoError(t, err, "the server's SETTINGS")
	server.AssertAttempts(t, 0)
	_, err = conn.Write(frame(frameHeaders, 1, 0))
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, conn)
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	server.AssertAttempts(t, 1)
}

func TestFramer_RefusesAsManyStreamsAsAsked(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := newFramer(&out)
	f.refused <- struct{}{}
	canceled := frame(frameReset, 1, 8)
	for _, written := range [][]byte{settings, canceled, resetFrame, resetFrame} {
		_, err := f.Write(bytes.Clone(written))
		require.NoError(t, err)
	}
	want := append(bytes.Clone(settings), canceled...)
	want = append(want, frame(frameReset, 3, network.RefusedStream)...)
	assert.Equal(t, append(want, resetFrame...), out.Bytes())
}

// A client refuses a connection whose first frame is not SETTINGS.
func TestFramer_NeverSendsItsOwnFrameFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		f := newFramer(&out)
		time.AfterFunc(time.Second, func() { _, _ = f.Write(settings) })
		f.send(t.Context(), goAwayFrame())
		assert.Equal(t, append(bytes.Clone(settings), goAwayFrame()...), out.Bytes())

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		out.Reset()
		newFramer(&out).send(ctx, goAwayFrame())
		assert.Empty(t, out.Bytes(), "the connection is gone")
	})
}
