package sharing

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

const (
	members = 200 // processes
	every   = 400 * time.Millisecond
)

// A server is well or down.
type server struct {
	*httptest.Server
	down                    atomic.Bool
	attempts, busy, busiest atomic.Int64 // while it is down
	good                    atomic.Int64 // when it first responded well again, in µs
	kill                    chan int     // takes the process that sends the next attempt while it is down; nil: none does
	mu                      sync.Mutex
}

func newServer(t *testing.T) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.down.Load() {
			s.good.CompareAndSwap(0, time.Now().UnixMicro())
			return
		}
		s.attempts.Add(1)
		if killed := s.killsProbe(r.Header.Get(processHeader)); killed {
			<-r.Context().Done()
			return
		}
		s.busiest.Store(max(s.busiest.Load(), s.busy.Add(1)))
		time.Sleep(20 * time.Millisecond) // long enough to be seen beside another
		s.busy.Add(-1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(s.Close)
	return s
}

// killProbe kills the process that sends the next probe, in the middle of it.
func (s *server) killProbe() (process int) {
	s.mu.Lock()
	s.kill = make(chan int)
	s.mu.Unlock()
	return <-s.kill
}

func (s *server) killsProbe(process string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kill == nil {
		return false
	}
	number, err := strconv.Atoi(process)
	if err != nil || syscall.Kill(number, syscall.SIGKILL) != nil {
		return false
	}
	s.kill <- number
	s.kill = nil
	return true
}

// A fleet is the members, and what they said last.
type fleet struct {
	mu     sync.Mutex
	states map[int]string
	since  map[int]time.Time
	killed int // what it said before may be read after
}

func startFleet(t *testing.T, s *server, address string) *fleet {
	t.Helper()
	f := &fleet{states: map[int]string{}, since: map[int]time.Time{}}
	said, say, err := os.Pipe()
	require.NoError(t, err)
	listen, input, err := os.Pipe()
	require.NoError(t, err)
	var group sync.WaitGroup
	for range members {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), serverVariable+"="+s.URL, redisVariable+"="+address, everyVariable+"="+every.String(), "GOMAXPROCS=1")
		command.Stdin, command.Stdout, command.Stderr = listen, say, os.Stderr
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed
		require.NoError(t, command.Start())
		group.Go(func() { _ = command.Wait() })
	}
	_, _ = listen.Close(), say.Close()
	t.Cleanup(func() {
		_ = input.Close() // by which they end
		group.Wait()
		_ = said.Close()
	})
	go f.read(said)
	require.Eventually(t, func() bool { return f.in("ready", steadyhttp.BreakerClosed.String()) == members }, time.Minute, 50*time.Millisecond)
	return f
}

func (f *fleet) read(said io.Reader) {
	for lines := bufio.NewScanner(said); lines.Scan(); {
		var process int
		var at int64
		var state string
		if _, err := fmt.Sscan(lines.Text(), &process, &at, &state); err == nil {
			f.mu.Lock()
			if process != f.killed {
				f.states[process], f.since[process] = state, time.UnixMicro(at)
			}
			f.mu.Unlock()
		}
	}
}

func (f *fleet) in(states ...string) (n int) { return f.by(time.Now(), states...) }

// by is how many are in one of the states, and came to it by then.
func (f *fleet) by(then time.Time, states ...string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for process, state := range f.states {
		for _, s := range states {
			if state == s && !f.since[process].After(then) {
				n++
			}
		}
	}
	return n
}

// breakDown begins an outage, and waits for a while.
func (s *server) breakDown(lasting time.Duration) (begin time.Time) {
	begin = time.Now()
	s.down.Store(true)
	time.Sleep(lasting)
	return begin
}

// recover ends it, and returns when it was that the first response was good.
func (s *server) recover(t *testing.T) time.Time {
	t.Helper()
	s.good.Store(0)
	s.down.Store(false)
	require.Eventually(t, func() bool { return s.good.Load() != 0 }, 10*time.Second, time.Millisecond)
	return time.UnixMicro(s.good.Load())
}

// A database is a Redis that can be started anew.
type database struct {
	address, directory string
	arguments          []string // before the usual ones
	command            *exec.Cmd
	exited             chan struct{}
}

func startRedis(t *testing.T, arguments ...string) *database {
	t.Helper()
	d := &database{address: freeAddress(t), directory: t.TempDir(), arguments: arguments}
	d.start(t)
	t.Cleanup(d.kill)
	return d
}

// freeAddress is one that nobody has at present.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

func (d *database) start(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	require.NoError(t, err, "it is not installed; integration/run installs it")
	_, port, err := net.SplitHostPort(d.address)
	require.NoError(t, err)
	usual := []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", d.directory, "--loglevel", "warning"}
	d.command = exec.Command(path, slices.Concat(d.arguments, usual)...)
	d.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, d.command.Start())
	require.NoError(t, os.WriteFile(filepath.Join(d.directory, "process-group"), []byte(strconv.Itoa(d.command.Process.Pid)), 0o600))
	d.exited = make(chan struct{})
	go func(command *exec.Cmd, exited chan struct{}) {
		_ = command.Wait()
		close(exited)
	}(d.command, d.exited)
	client := d.client()
	defer func() { _ = client.Close() }()
	require.Eventually(t, func() bool { return client.Ping(context.Background()).Err() == nil }, 10*time.Second, 20*time.Millisecond)
}

func (d *database) client() *redis.Client { return redis.NewClient(&redis.Options{Addr: d.address}) }

func (d *database) kill() {
	_ = d.command.Process.Kill()
	<-d.exited
}

func (d *database) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, d.command.Process.Signal(signal))
}

// What a store in trouble may cost beside an open time: the call that asks it, and a machine that is busy.
const alone = 1500*time.Millisecond + every

// After so long each process has tried to beat, and is with the store again.
const untilBeaten = 13 * time.Second

func TestSharing_ManyProcessesAndARealRedis(t *testing.T) {
	d, s := startRedis(t), newServer(t)
	f := startFleet(t, s, d.address)
	rdb := d.client()
	defer func() { _ = rdb.Close() }()
	setClock := func(t *testing.T, offset time.Duration) {
		require.NoError(t, rdb.Set(t.Context(), offsetKey, int(offset.Seconds()), 0).Err())
	}
	time.Sleep(2 * time.Second)

	run := func(name string, check func(*findings)) {
		t.Run(name, func(t *testing.T) { checkUndisturbed(t, check) })
	}
	run("all open, one probes, all close", func(t *findings) { f.checkOutage(t, s, 90) }) // 97 to 98 % on a machine that does nothing else
	setClock(t, time.Hour)
	run("a process is killed in its probe, and the store's clock is an hour ahead", func(t *findings) { f.checkKilledProbe(t, s) })
	run("the clock is set back, and scripts are forgotten", func(t *findings) {
		f.checkAlone(t, s, func() {
			setClock(t.T, -time.Hour)
			require.NoError(t.T, rdb.ScriptFlush(t.Context()).Err())
		})
	})
	run("flushed", func(t *findings) {
		f.checkAlone(t, s, func() { require.NoError(t.T, rdb.FlushAll(t.Context()).Err()) })
	})
	run("hung", func(t *findings) {
		f.checkAlone(t, s, func() { d.signal(t.T, syscall.SIGSTOP) })
		d.signal(t.T, syscall.SIGCONT)
	})
	run("failed over to one that knows nothing", func(t *findings) { f.checkAlone(t, s, func() { d.kill(); d.start(t.T) }) })
	run("killed", func(t *findings) {
		f.checkAlone(t, s, d.kill)
		d.start(t.T)
	})
	time.Sleep(untilBeaten)
	run("restarted", func(t *findings) { f.checkOutage(t, s, 50) }) // while connections are made
}

// checkOutage lets the server be down. So many of the processes in a hundred must open within a second.
func (f *fleet) checkOutage(t *findings, s *server, percent int) {
	begin := s.breakDown(2 * time.Second)
	opened := f.by(begin.Add(time.Second), "open")
	assert.GreaterOrEqual(t, opened, f.size()*percent/100, "are open within a second")
	s.attempts.Store(0)
	s.busiest.Store(0)
	time.Sleep(2500 * time.Millisecond)
	probes, together := s.attempts.Load(), s.busiest.Load()
	assert.Positive(t, probes)
	assert.LessOrEqual(t, probes, int64(20), "probes in 2.5 s")
	if percent >= 90 { // else some are still on their own
		assert.LessOrEqual(t, together, int64(2), "at a time")
	}
	closed := f.checkRecovery(t, s)
	t.Logf("%d of %d processes open within a second, %d probes in 2.5 s, at most %d at a time, %d closed within 0.5 s", opened, f.size(), probes, together, closed)
}

// checkRecovery ends an outage, and waits until the fleet has forgotten it.
func (f *fleet) checkRecovery(t *findings, s *server) (closed int) {
	good := s.recover(t.T)
	time.Sleep(3 * time.Second)
	closed = f.by(good.Add(500*time.Millisecond), "closed", "ready")
	assert.GreaterOrEqual(t, closed, f.size()*95/100, "are closed within half a second")
	assert.Equal(t, f.size(), f.in("closed", "ready"))
	return closed
}

// checkKilledProbe kills the process that probes. Another one does so soon.
func (f *fleet) checkKilledProbe(t *findings, s *server) {
	s.breakDown(2 * time.Second)
	f.forget(s.killProbe())
	s.attempts.Store(0)
	killed := time.Now()
	require.Eventually(t.T, func() bool { return s.attempts.Load() > 0 }, 10*time.Second, time.Millisecond)
	next := time.Since(killed)
	assert.Less(t, next, 2*time.Second, "until the next probe")
	closed := f.checkRecovery(t, s)
	t.Logf("the next probe came %v after a process was killed in one; %d of %d closed within 0.5 s", next.Round(time.Millisecond), closed, f.size())
}

// checkAlone does something to the store in the middle of an outage. Then all are back as soon as they are without it.
func (f *fleet) checkAlone(t *findings, s *server, trouble func()) {
	s.breakDown(2 * time.Second)
	trouble()
	time.Sleep(2 * time.Second)
	ended := time.Now()
	s.recover(t.T)
	time.Sleep(3 * time.Second)
	closed := f.by(ended.Add(alone), "closed", "ready")
	assert.GreaterOrEqual(t, closed, f.size()*95/100, "are closed")
	assert.Equal(t, f.size(), f.in("closed", "ready"))
	t.Logf("%d of %d closed within %v", closed, f.size(), alone)
}

// forget leaves out a process that was killed.
func (f *fleet) forget(process int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.killed = process
	delete(f.states, process)
}

func (f *fleet) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.states)
}
