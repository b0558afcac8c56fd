package steadyhttptest

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	"github.com/steadyhttp/steadyhttp/steadyhttptest/internal/network"
)

// The types of HTTP/2's frames (RFC 9113 §6) that the faults need.
const frameHeaders, frameReset, frameGoAway = 1, 3, 7

// frame returns a frame in its wire format.
func frame(kind byte, stream uint32, payload ...uint32) []byte {
	const word = 4
	wire := []byte{0, 0, byte(word * len(payload)), kind, 0}
	wire = binary.BigEndian.AppendUint32(wire, stream)
	for _, value := range payload {
		wire = binary.BigEndian.AppendUint32(wire, value)
	}
	return wire
}

// goAwayFrame says that the connection takes no more streams. It leaves open which of its streams were processed.
func goAwayFrame() []byte { return frame(frameGoAway, 0, network.LastStream, network.NoError) }

// halfHeadersFrame announces one byte more than it has.
func halfHeadersFrame() []byte {
	half := frame(frameHeaders, 1, 0)
	half[2]++
	return half
}

// frameHeader is the length of what precedes a frame's payload (RFC 9113 §4.1).
const frameHeader = 9

// clientPreface is what a client's first frame comes after (RFC 9113 §3.4).
const clientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// A requestScanner finds the first request in what a client sends: its first HEADERS. The zero value is at the preface.
type requestScanner struct {
	wire    []byte // not yet scanned
	scanned bool   // the preface
}

// scan reports whether a request begins in what was sent up to the end of these bytes.
func (s *requestScanner) scan(next []byte) bool {
	s.wire = append(s.wire, next...)
	if !s.scanned {
		if len(s.wire) < len(clientPreface) {
			return false
		}
		s.wire, s.scanned = s.wire[len(clientPreface):], true
	}
	for len(s.wire) >= frameHeader {
		if s.wire[3] == frameHeaders {
			return true
		}
		size, whole := frameSize(s.wire)
		if !whole {
			return false
		}
		s.wire = s.wire[size:]
	}
	return false
}

// A framer passes on the frames of net/http's HTTP/2 server, each as a whole, so that our own frames can go between them.
type framer struct {
	mu      sync.Mutex
	out     io.Writer
	pending []byte
	began   chan struct{} // closed once the first frame was sent, which must be SETTINGS (RFC 9113 §3.4)
	refused chan struct{} // holds one value for each stream to refuse
}

func newFramer(out io.Writer) *framer {
	return &framer{out: out, began: make(chan struct{}), refused: make(chan struct{}, 1)}
}

// Write fulfils io.Writer.
func (f *framer) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, p...)
	complete := 0
	for next := f.pending; ; next = f.pending[complete:] {
		size, ok := frameSize(next)
		if !ok {
			break
		}
		f.refuse(next[:size])
		complete += size
	}
	_, err := f.out.Write(f.pending[:complete])
	f.pending = f.pending[complete:]
	f.begin(complete)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// frameSize returns the length of the first frame, and whether all of it is there.
func frameSize(wire []byte) (int, bool) {
	if len(wire) < frameHeader {
		return 0, false
	}
	size := frameHeader + int(wire[0])<<16 + int(wire[1])<<8 + int(wire[2])
	return size, len(wire) >= size
}

// refuse turns a reset into a REFUSED_STREAM. net/http resets a stream whose handler panicked.
func (f *framer) refuse(frame []byte) {
	code := frame[frameHeader:]
	if frame[3] != frameReset || binary.BigEndian.Uint32(code) != network.InternalError {
		return
	}
	select {
	case <-f.refused:
		binary.BigEndian.PutUint32(code, network.RefusedStream)
	default:
	}
}

// begin is called with f.mu held.
func (f *framer) begin(written int) {
	select {
	case <-f.began:
	default:
		if written > 0 {
			close(f.began)
		}
	}
}

// send sends a frame of our own.
func (f *framer) send(ctx context.Context, frame []byte) {
	select {
	case <-f.began:
	case <-ctx.Done():
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = f.out.Write(frame)
	if _, whole := frameSize(frame); !whole {
		f.out = io.Discard // the client would take what follows for the rest of it
	}
}
