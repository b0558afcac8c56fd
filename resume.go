package steadyhttp

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// A resumableBody is the body of a returned response, for [WithResume]. When it breaks, the call goes on: further
// attempts ask for what is missing, through the breaker, the budget and all the rest, and the body of the one that
// succeeds takes the place of the one that broke. Where that cannot be, everybody is told why not.
//
// Invariants. reading guards what the Reads share: they take their turns, and a resume is part of a Read. mu guards what
// a Close must see, which does not wait for a Read. The first attempt's body is part of the resumable one, and so is
// the request that shows how often it was resumed, so that all is one allocation.
type resumableBody struct {
	first attemptBody
	shown annotatedRequest
	count atomic.Int32 // of resumes

	// Of the call, which goes back to its pool.
	transport *Transport
	next      sender
	caller    *http.Request
	request   *http.Request
	origin    *origin
	policy    *policy
	options   *callOptions

	reading  sync.Mutex
	whole    representation
	refusal  error        // why it cannot be resumed; nil if it can
	got      int64        // by the reader
	rest     continuation // what the current attempt brings of it
	broken   error        // what the body broke of; nil while it is whole
	err      error        // how it ended
	attempts int          // of the call
	fresh    bool         // whether the last one had a connection of its own
	status   int          // of the last response
	renewed  int          // the last attempt that brought something
	backoff  Backoff
	reported []int

	mu      sync.Mutex
	current io.ReadCloser
	closed  bool
	cancel  context.CancelFunc // of the attempt that current is of; nil for the first one
}

func newResumableBody(c *call) *resumableBody {
	a := &c.attempt
	b := &resumableBody{
		transport: c.transport, next: c.next, caller: c.caller, request: c.withoutReplay(),
		origin: c.origin, policy: c.policy, options: c.options,
		attempts: a.number, fresh: a.fresh, status: a.status,
	}
	b.whole, b.refusal = representationOf(c.request, a.response)
	b.first.follow(c)
	b.current, b.rest.end = &b.first, -1 // it is read as it comes
	return b
}

// Read returns what is missing of the body, whichever attempt it comes from.
func (b *resumableBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for b.err == nil {
		if b.broken != nil {
			if err := b.resume(); err != nil {
				b.end(err)
			}
			continue
		}
		read, n := b.readCurrent(p)
		if n > 0 || read == 0 && b.err == nil && b.broken == nil {
			return n, nil
		}
	}
	return 0, b.err
}

// readCurrent reads from the current attempt's body, and notes if that ends. Of what it read, n is news for the
// reader. b.reading is held.
func (b *resumableBody) readCurrent(p []byte) (read, n int) {
	if b.got == b.rest.end { // so there is nothing to skip, or nothing after it
		b.rest.skip = 0
		b.note(io.EOF)
		return 0, 0
	}
	read, err := b.currentBody().Read(b.window(p))
	if b.rest.skip > 0 {
		b.rest.skip -= int64(read)
	} else if n = read; n > 0 {
		b.got += int64(n)
		b.renewed, b.backoff = b.attempts, nil
	}
	b.note(err)
	return read, n
}

// window is where to read to now: what is skipped is read alone, and of a body that goes on with another one nothing
// beyond its end. b.reading is held.
func (b *resumableBody) window(p []byte) []byte {
	limit := int64(len(p))
	if b.rest.skip > 0 {
		limit = min(limit, b.rest.skip)
	} else if b.rest.end >= 0 {
		limit = min(limit, b.rest.end-b.got)
	}
	return p[:limit]
}

// note keeps how a Read of the current body went. Any end but that of the whole is one too soon. b.reading is held.
func (b *resumableBody) note(err error) {
	switch {
	case err == nil:
	case b.isWhole(err):
		b.end(io.EOF)
	case err == io.EOF:
		b.broken = io.ErrUnexpectedEOF
	case b.gaveUp(), isLocalError(err):
		b.end(err)
	default:
		b.broken = err
	}
}

// isWhole: if all that was promised has come, the body is whole whatever the error; and if nothing was promised, or
// less than that, once it ends. b.reading is held.
func (b *resumableBody) isWhole(err error) bool {
	promised := b.whole.length
	return b.rest.skip == 0 && (b.got == promised || b.got > promised && err == io.EOF)
}

// whyNot says why the body cannot be resumed; nil if it can. b.reading is held.
func (b *resumableBody) whyNot() error {
	if b.refusal == nil && b.whole.length >= 0 && b.got > b.whole.length {
		return errTooLong
	}
	return b.refusal
}

// gaveUp reports whether it is the reader who wants no more.
func (b *resumableBody) gaveUp() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed || callerErr(b.request) != nil
}

func (b *resumableBody) currentBody() io.ReadCloser {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current
}

// end fixes how the body ended, and lets go of the last attempt's context. b.reading is held.
func (b *resumableBody) end(err error) {
	b.err = err
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel != nil {
		b.cancel()
	}
}

// Close ends the body at once, a resume that is under way too.
func (b *resumableBody) Close() error {
	b.mu.Lock()
	b.closed = true
	current, cancel := b.current, b.cancel
	b.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	return current.Close()
}

// annotate keeps where the call's attempts were reported, and returns the request that the response shows.
func (b *resumableBody) annotate(c *call, note callOptions) *http.Request {
	b.reported = c.reported
	return b.shown.set(c.caller, note)
}

// Resumes returns how often the response's body was resumed so far; see [WithResume].
//
// Ask once the body has been read. It is 0 for a response that no [Transport] with WithResume returned, and for nil. The
// number is found through the context of resp.Request, and is safe to ask for at any time.
func Resumes(resp *http.Response) int {
	if resp == nil {
		return 0
	}
	body := noteOf(resp).resumed
	if body == nil {
		return 0
	}
	return int(body.count.Load())
}
