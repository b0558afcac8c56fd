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

// Headers by which orders and responses are told apart and checked.
const (
	orderHeader    = "Order-Id"
	checksumHeader = "Body-Checksum"
)

// A backend is a server that fails at random. What it does with each arrival of an order depends on the seed, and so
// does its success rate at a time.
type backend struct {
	seed        uint64
	orderLog    *orderLog
	violations  *violations
	started     time.Time
	connections atomic.Int64 // that are open
}

// serve starts a server of the backend: without TLS, or over TLS with HTTP/1 or HTTP/2.
func (b *backend) serve(p protocol) *httptest.Server {
	server := httptest.NewUnstartedServer(b)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			b.connections.Add(1)
		case http.StateClosed, http.StateHijacked:
			b.connections.Add(-1)
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

// ratePeriod is how long the success rate stays the same.
const ratePeriod = 2 * time.Second

// successRate is in percent.
func (b *backend) successRate() int {
	period := uint64(time.Since(b.started) / ratePeriod)
	return choose(newRandom(b.seed, successRates, period), []weighted[int]{{80, 85}, {12, 50}, {8, 0}})
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.Header.Get(orderHeader), 10, 64)
	if err != nil {
		b.violations.add("a request arrived without an order: %s %s", r.Method, r.URL)
		return
	}
	arrival := b.orderLog.arrive(id)
	rd := newRandom(b.seed, backendActions, id, arrival)
	e := exchange{backend: b, random: rd, id: id, w: w, r: r}
	if rd.percent(b.successRate()) {
		e.readBody()
		e.succeed()
		return
	}
	choose(rd, faults)(&e)
}

// An exchange is one arrival of an order, and the response to it.
type exchange struct {
	*backend
	random
	id uint64
	w  http.ResponseWriter
	r  *http.Request
}

// readBody checks that the body is the one that was sent. An order whose body does not arrive whole is not processed.
func (e *exchange) readBody() {
	content, err := io.ReadAll(e.r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if want := e.r.Header.Get(checksumHeader); checksum(content) != want {
		e.violations.add("order %d arrived with another body, %d bytes", e.id, len(content))
	}
}

// succeed processes the order and sends a whole response.
func (e *exchange) succeed() {
	e.orderLog.process(e.id)
	content := e.responseBody()
	if e.percent(30) {
		e.w.(http.Flusher).Flush() // no Content-Length
	}
	_, _ = e.w.Write(content)
}

// responseBody chooses the body of a response, and sets the headers by which it is checked.
func (e *exchange) responseBody() (content []byte) {
	content = e.content(e.size())
	e.w.Header().Set(orderHeader, strconv.FormatUint(e.id, 10))
	e.w.Header().Set(checksumHeader, checksum(content))
	return content
}

// faults are what the backend does when it does not succeed.
var faults = []weighted[func(*exchange)]{
	{20, reject(http.StatusServiceUnavailable)},
	{5, reject(http.StatusBadGateway)},
	{5, reject(http.StatusNotFound)},
	{5, reject(http.StatusConflict)},
	{3, reject(http.StatusNotImplemented)},
	{10, throttle},
	{10, processAndFail(http.StatusInternalServerError)},
	{5, processAndFail(http.StatusGatewayTimeout)},
	{10, succeedSlowly},
	{3, hang},
	{5, abort},
	{5, processAndAbort},
	{8, truncate},
	{5, rejectUnread},
	{5, succeedAndClose},
	{3, sendGarbage},
}

// reject responds with a status, and does not process the order.
func reject(status int) func(*exchange) {
	return func(e *exchange) {
		e.readBody()
		e.respond(status)
	}
}

// processAndFail processes the order, and responds with the status of a failure.
func processAndFail(status int) func(*exchange) {
	return func(e *exchange) {
		e.readBody()
		e.orderLog.process(e.id)
		e.respond(status)
	}
}

// respond sends a status, and a body that sometimes stalls.
func (e *exchange) respond(status int) {
	content := e.responseBody()
	e.w.WriteHeader(status)
	_, _ = e.w.Write(content[:len(content)/2])
	if e.percent(20) {
		e.w.(http.Flusher).Flush()
		time.Sleep(e.duration(0, time.Second))
	}
	_, _ = e.w.Write(content[len(content)/2:])
}

func throttle(e *exchange) {
	e.readBody()
	if e.percent(80) {
		e.w.Header().Set("Retry-After", strconv.Itoa(e.IntN(2)))
	}
	e.respond(http.StatusTooManyRequests)
}

func succeedSlowly(e *exchange) {
	e.readBody()
	time.Sleep(e.duration(0, 300*time.Millisecond))
	e.succeed()
}

// hang sends nothing until the client is gone or 3 s have passed.
func hang(e *exchange) {
	e.readBody()
	select {
	case <-e.r.Context().Done():
	case <-time.After(3 * time.Second):
	}
	panic(http.ErrAbortHandler)
}

// abort closes the connection or resets the stream.
func abort(*exchange) { panic(http.ErrAbortHandler) }

func processAndAbort(e *exchange) {
	e.readBody()
	e.orderLog.process(e.id)
	panic(http.ErrAbortHandler)
}

// truncate sends half of a response.
func truncate(e *exchange) {
	e.readBody()
	e.orderLog.process(e.id)
	content := e.responseBody()
	if e.percent(50) {
		e.w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	}
	_, _ = e.w.Write(content[:len(content)/2])
	e.w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// rejectUnread does not wait for the order's body.
func rejectUnread(e *exchange) { e.respond(http.StatusServiceUnavailable) }

func succeedAndClose(e *exchange) {
	e.readBody()
	e.w.Header().Set("Connection", "close")
	e.succeed()
}

// sendGarbage sends what is not HTTP, if it can have the connection for that.
func sendGarbage(e *exchange) {
	e.readBody()
	e.orderLog.process(e.id)
	hijacker, ok := e.w.(http.Hijacker)
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
