package steadyhttp

import (
	"net"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A suspicion is what speaks against connections to an origin that the base keeps. They may be dead: attempts time
// out, and nothing succeeds any more. Or a connection leads to a backend that is sick, of several behind one address:
// it brought a 5xx.
//
// It is bounded how often connections are left for that: a server that is slow, down, or flaky as a whole must not
// pay for connections that are no worse than others.
type suspicion struct {
	silence atomic.Int64 // the start of an attempt that timed out; 0: none
	hurry   atomic.Int64 // the start of the first one that ended with the deadline of a caller in a hurry; 0: none
	errors  atomic.Int32 // 5xx in a row over HTTP/2
	listed  atomic.Int32 // how many suspects there are

	mu       sync.Mutex
	suspects []suspect     // connections of HTTP/1 that brought a 5xx; [maxSuspects] at most
	since    time.Duration // when the first of those errors began
	phase    uint64        // of the breaker when one of its probes left a connection last
	left     time.Duration // when a connection was left last; 0: never
	vain     int           // how often one was left since the last success
	nextAt   time.Duration // when one may be left again, but for a burst
}

// A suspect is a connection of HTTP/1.
type suspect struct {
	id     uintptr // see connID
	errors int     // 5xx in a row
	leave  bool    // when the pool offers it next
}

const (
	maxErrors     = 2 // in a row over one connection: one alone is no reason to leave it
	maxSuspects   = 16
	vainInterval  = 30 * time.Second // between leaving connections when that has brought no success
	http2Interval = time.Second
	http1Interval = time.Second / 10
	http1Burst    = 10 // connections: as many calls at the same time may have got a sick backend
	silenceTries  = 1  // before the first success
	errorTries    = 2  // the first may lead to the same backend again
)

// A leavePolicy says how often connections are left.
type leavePolicy struct {
	interval time.Duration // while attempts succeed
	burst    time.Duration // what may be ahead of the interval
	tries    int           // while none does
}

var (
	leaveSilent    = leavePolicy{vainInterval, 0, silenceTries} // where one call is slow, a quiet client knows no better
	leaveSickHTTP2 = leavePolicy{http2Interval, 0, errorTries}
	leaveSickHTTP1 = leavePolicy{http1Interval, http1Burst * http1Interval, errorTries}
)

// chooseConnection is where an attempt learns that the pool's connections are suspect.
func (c *call) chooseConnection() {
	a, o := &c.attempt, c.origin
	switch {
	case o.takeSilence(a):
		a.reconnect, a.silence = newConnection, true
	case o.has(http2Spoken) && c.base.isNetHTTP() && o.takeErrors(a.start): // others would see more than one request an attempt
		a.reconnect = newConnection
	}
	if a.reconnect == newConnection && o.has(http2Spoken) {
		a.reconnect = leavePool
	}
}

// isSuspicious reports whether attempts must be traced to be kept off a connection.
func (o *origin) isSuspicious() bool {
	s := o.suspicion.Load()
	return o.has(unseen) || s != nil && (s.silence.Load() != 0 || s.errors.Load() >= maxErrors || s.listed.Load() > 0)
}

// suspicious returns what is to be written to.
func (o *origin) suspicious() *suspicion {
	if s := o.suspicion.Load(); s != nil {
		return s
	}
	o.suspicion.CompareAndSwap(nil, &suspicion{})
	return o.suspicion.Load()
}

// suspect keeps what an attempt tells of its connection.
func (o *origin) suspect(a *attempt) {
	switch {
	case a.health == healthy:
		o.noteSuccess(a)
	case a.health != failing:
		o.suspectHurry(a)
	case a.response == nil:
		o.suspectSilence(a)
	case a.status >= http.StatusInternalServerError:
		o.suspectBackend(a)
	}
}

// suspectSilence: a connection of HTTP/1 that was dialed for the attempt is closed by now, and tells nothing of
// others. One of HTTP/2 goes on being used.
func (o *origin) suspectSilence(a *attempt) {
	if a.sends == 0 || a.timeoutAfter() == 0 || a.fresh && !o.has(http2Spoken) {
		return
	}
	if !o.succeededSince(a.start) {
		o.suspicious().silence.Store(int64(max(1, a.start)))
	}
}

// suspectHurry: a deadline that comes soon says nothing, but several of them may come to a silence.
func (o *origin) suspectHurry(a *attempt) {
	if !a.ranOut() || a.timeoutAfter() == 0 {
		return
	}
	s := o.suspicious()
	since := time.Duration(s.hurry.Load())
	if since == 0 || o.succeededSince(since) {
		since = max(1, a.start)
		s.hurry.Store(int64(since))
	}
	if a.end-since >= minBlameableWait {
		o.suspectSilence(a)
	}
}

// takeSilence reports whether an attempt is to keep off the pool, since nothing has succeeded since another one
// that timed out began.
func (o *origin) takeSilence(a *attempt) bool {
	s := o.suspicion.Load()
	if s == nil {
		return false
	}
	since := s.silence.Load()
	switch {
	case since == 0:
		return false
	case o.succeededSince(time.Duration(since)):
		s.silence.CompareAndSwap(since, 0)
		return false
	case a.probe && !s.mayProbe(a.start, a.phase), !a.probe && !o.mayLeave(a.start, leaveSilent):
		return false
	default:
		return s.silence.CompareAndSwap(since, 0)
	}
}

// suspectBackend: over HTTP/1 the connection is listed. That of an attempt that was not traced is not known, so the next
// one is traced: else a client that retries nothing would never learn it. Over HTTP/2 all attempts go over one connection,
// so nothing succeeds if its backend is the sick one.
func (o *origin) suspectBackend(a *attempt) {
	id := connID(a.conn)
	switch {
	case o.has(http2Spoken):
		o.countError(a.start)
	case id == 0:
		o.set(unseen, unseen)
	case o.suspicious().list(id) && o.mayLeave(a.end, leaveSickHTTP1):
		o.suspicious().leave(id)
	}
}

func (o *origin) countError(start time.Duration) {
	s := o.suspicious()
	s.mu.Lock()
	defer s.mu.Unlock()
	if start < s.left { // over a connection that was left since
		return
	}
	if s.errors.Load() == 0 || o.succeededSince(s.since) {
		s.errors.Store(0)
		s.since = start
	}
	s.errors.Add(1)
}

// takeErrors reports whether an attempt is to leave the connection of HTTP/2.
func (o *origin) takeErrors(now time.Duration) bool {
	s := o.suspicion.Load()
	if s == nil || s.errors.Load() < maxErrors {
		return false
	}
	s.mu.Lock()
	suspect := !o.succeededSince(s.since)
	s.mu.Unlock()
	if suspect && !o.mayLeave(now, leaveSickHTTP2) {
		return false
	}
	s.errors.Store(0)
	return suspect
}

// mayLeave reports whether a connection may be left now, and notes that it is.
func (o *origin) mayLeave(now time.Duration, p leavePolicy) bool {
	s := o.suspicious()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.left == 0:
	case o.succeededSince(s.left):
		if s.vain = 0; now < s.nextAt-p.burst {
			return false
		}
	case s.vain >= p.tries && now-s.left < vainInterval:
		return false
	}
	s.left, s.vain, s.nextAt = max(1, now), s.vain+1, max(now, s.nextAt)+p.interval
	return true
}

// mayProbe reports whether a probe may leave a connection: the first one of each half-open phase, in which it was let
// through. Another call may have opened the breaker since.
func (s *suspicion) mayProbe(now time.Duration, phase uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phase {
		return false
	}
	s.phase, s.left, s.vain = phase, max(1, now), s.vain+1
	return true
}

// list counts a 5xx over a connection of HTTP/1, and reports whether it is one too many.
func (s *suspicion) list(id uintptr) (sick bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(id)
	if i < 0 {
		if len(s.suspects) == maxSuspects {
			s.suspects = slices.Delete(s.suspects, 0, 1)
		}
		i = len(s.suspects)
		s.suspects = append(s.suspects, suspect{id: id})
		s.listed.Store(int32(len(s.suspects)))
	}
	s.suspects[i].errors++
	return s.suspects[i].errors >= maxErrors
}

func (s *suspicion) leave(id uintptr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.index(id); i >= 0 {
		s.suspects[i].leave = true
	}
}

// clear forgets a connection that brought a success.
func (s *suspicion) clear(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.index(connID(conn)))
}

// take reports whether the connection is to be left, and forgets it then: it will be closed. A new one at the
// address of an old one is innocent.
func (s *suspicion) take(got httptrace.GotConnInfo) (leave bool) {
	if s == nil || s.listed.Load() == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(connID(got.Conn))
	if i < 0 {
		return false
	}
	leave = got.Reused && s.suspects[i].leave
	if leave || !got.Reused {
		s.remove(i)
	}
	return leave
}

// index is -1 for a connection that is not listed. s.mu is held.
func (s *suspicion) index(id uintptr) int {
	return slices.IndexFunc(s.suspects, func(listed suspect) bool { return listed.id == id })
}

// remove ignores -1. s.mu is held.
func (s *suspicion) remove(i int) {
	if i >= 0 {
		s.suspects = slices.Delete(s.suspects, i, i+1)
		s.listed.Store(int32(len(s.suspects)))
	}
}

// connID tells connections apart, and does not hold on to them. 0: unknown.
func connID(conn net.Conn) uintptr {
	if v := reflect.ValueOf(conn); v.Kind() == reflect.Pointer {
		return v.Pointer()
	}
	return 0
}

// sameConn does not panic for a type of a user's that is not comparable.
func sameConn(a, b net.Conn) bool { return reflect.ValueOf(a).Comparable() && a == b }

// noteSuccess does for an origin without a breaker what the breaker does else.
func (o *origin) noteSuccess(a *attempt) {
	o.set(unseen, 0)
	if s := o.suspicion.Load(); s != nil && s.listed.Load() > 0 {
		s.clear(a.conn)
	}
	if o.breaker == nil {
		raise(&o.succeeded, int64(max(1, a.start)))
	}
}

// succeededSince reports whether an attempt that began since then has succeeded.
func (o *origin) succeededSince(start time.Duration) bool {
	if o.breaker != nil {
		return o.breaker.succeededSince(start)
	}
	last := time.Duration(o.succeeded.Load())
	return last > 0 && last >= start
}
