package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"time"
)

// Headers by which orders and answers are told apart and checked.
const (
	orderHeader    = "Order-Id"
	checksumHeader = "Body-Checksum"
)

// A shop is a server that misbehaves. What it does with each arrival of an order is drawn from the seed, and
// so is what share of its answers are good at a time.
type shop struct {
	seed        uint64
	ledger      *ledger
	faults      *faults
	begun       time.Time
	connections atomic.Int64 // that are open
}

// serve starts the shop, in the clear or over TLS with HTTP/1 or HTTP/2.
func (s *shop) serve(p protocol) *httptest.Server {
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.connections.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.connections.Add(-1)
		}
	}
	if !p.secure {
		server.Start()
		return server
	}
	server.EnableHTTP2 = p.major == 2
	server.StartTLS()
	return server
}

// season is how long the shop stays in one mood.
const season = 2 * time.Second

// health is the share of answers that are good, in percent.
func (s *shop) health() int {
	number := uint64(time.Since(s.begun) / season)
	return oneOf(drawFrom(s.seed, seasons, number), []weighted[int]{{80, 85}, {12, 50}, {8, 0}})
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.Header.Get(orderHeader), 10, 64)
	if err != nil {
		s.faults.add("a request arrived that is nobody's: %s %s", r.Method, r.URL)
		return
	}
	arrival := s.ledger.arrive(id)
	d := drawFrom(s.seed, deeds, id, arrival)
	v := visit{shop: s, draw: d, id: id, w: w, r: r}
	if d.percent(s.health()) {
		v.read()
		v.answer()
		return
	}
	oneOf(d, misdeeds)(&v)
}

// A visit is one arrival at the shop.
type visit struct {
	*shop
	draw
	id uint64
	w  http.ResponseWriter
	r  *http.Request
}

// read reads the order, and checks that it is the one that was sent. What does not come whole is not processed.
func (v *visit) read() {
	content, err := io.ReadAll(v.r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if want := v.r.Header.Get(checksumHeader); checksum(content) != want {
		v.faults.add("order %d arrived with a foreign body, %d bytes", v.id, len(content))
	}
}

// answer processes the order and answers well.
func (v *visit) answer() {
	v.ledger.process(v.id)
	content := v.begin()
	if v.percent(30) {
		v.w.(http.Flusher).Flush() // the length is not announced
	}
	_, _ = v.w.Write(content)
}

// begin draws the body of an answer, and announces it.
func (v *visit) begin() (content []byte) {
	content = v.noise(v.size())
	v.w.Header().Set(orderHeader, strconv.FormatUint(v.id, 10))
	v.w.Header().Set(checksumHeader, checksum(content))
	return content
}

// misdeeds are what the shop does instead of answering well.
var misdeeds = []weighted[func(*visit)]{
	{20, refuse(http.StatusServiceUnavailable)},
	{5, refuse(http.StatusBadGateway)},
	{5, refuse(http.StatusNotFound)},
	{5, refuse(http.StatusConflict)},
	{3, refuse(http.StatusNotImplemented)},
	{10, throttle},
	{10, failAfter(http.StatusInternalServerError)},
	{5, failAfter(http.StatusGatewayTimeout)},
	{10, answerSlowly},
	{3, hang},
	{5, abort},
	{5, abortAfter},
	{8, cutShort},
	{5, refuseUnread},
	{5, answerAndClose},
	{3, garble},
}

// refuse answers with a status, and does not process the order.
func refuse(status int) func(*visit) {
	return func(v *visit) {
		v.read()
		v.deny(status)
	}
}

// failAfter answers with a status although the order was processed.
func failAfter(status int) func(*visit) {
	return func(v *visit) {
		v.read()
		v.ledger.process(v.id)
		v.deny(status)
	}
}

// deny answers with a status and a body that stalls at times.
func (v *visit) deny(status int) {
	content := v.begin()
	v.w.WriteHeader(status)
	_, _ = v.w.Write(content[:len(content)/2])
	if v.percent(20) {
		v.w.(http.Flusher).Flush()
		time.Sleep(v.between(0, time.Second))
	}
	_, _ = v.w.Write(content[len(content)/2:])
}

func throttle(v *visit) {
	v.read()
	if v.percent(80) {
		v.w.Header().Set("Retry-After", strconv.Itoa(v.IntN(2)))
	}
	v.deny(http.StatusTooManyRequests)
}

func answerSlowly(v *visit) {
	v.read()
	time.Sleep(v.between(0, 300*time.Millisecond))
	v.answer()
}

// hang says nothing, until the client is gone or a while has passed.
func hang(v *visit) {
	v.read()
	select {
	case <-v.r.Context().Done():
	case <-time.After(3 * time.Second):
	}
	panic(http.ErrAbortHandler)
}

// abort cuts the connection, or the stream, off.
func abort(*visit) { panic(http.ErrAbortHandler) }

func abortAfter(v *visit) {
	v.read()
	v.ledger.process(v.id)
	panic(http.ErrAbortHandler)
}

// cutShort announces an answer and sends half of it.
func cutShort(v *visit) {
	v.read()
	v.ledger.process(v.id)
	content := v.begin()
	if v.percent(50) {
		v.w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	}
	_, _ = v.w.Write(content[:len(content)/2])
	v.w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// refuseUnread does not wait for the order's body.
func refuseUnread(v *visit) { v.deny(http.StatusServiceUnavailable) }

func answerAndClose(v *visit) {
	v.read()
	v.w.Header().Set("Connection", "close")
	v.answer()
}

// garble answers with what is not HTTP, where the connection can be had for that.
func garble(v *visit) {
	v.read()
	v.ledger.process(v.id)
	hijacker, ok := v.w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 2x0 What\r\n\r\n")
	_ = conn.Close()
}

// Subjects of draws.
const (
	seasons = iota + 1
	deeds
	weathers
	wishes
)
