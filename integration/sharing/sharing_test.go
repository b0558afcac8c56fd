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
}

func newServer(t *testing.T) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !s.down.Load() {
			s.good.CompareAndSwap(0, time.Now().UnixMicro())
			return
		}
		s.attempts.Add(1)
		s.busiest.Store(max(s.busiest.Load(), s.busy.Add(1)))
		time.Sleep(20 * time.Millisecond) // long enough to be seen beside another
		s.busy.Add(-1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(s.Close)
	return s
}

// A fleet is the members, and what they said last.
type fleet struct {
	mu     sync.Mutex
	states map[int]string
	since  map[int]time.Time
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
			f.states[process], f.since[process] = state, time.UnixMicro(at)
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
	command            *exec.Cmd
	exited             chan struct{}
}

func startRedis(t *testing.T) *database {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := &database{address: listener.Addr().String(), directory: t.TempDir()}
	require.NoError(t, listener.Close())
	d.start(t)
	t.Cleanup(d.kill)
	return d
}

func (d *database) start(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	require.NoError(t, err, "it is not installed; integration/run installs it")
	_, port, err := net.SplitHostPort(d.address)
	require.NoError(t, err)
	d.command = exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", d.directory, "--loglevel", "warning")
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

// What a store in trouble may cost beside an open time: the call that asks it.
const alone = 1100*time.Millisecond + every

func TestSharing_ManyProcessesAndARealRedis(t *testing.T) {
	d, s := startRedis(t), newServer(t)
	f := startFleet(t, s, d.address)
	rdb := d.client()
	defer func() { _ = rdb.Close() }()
	time.Sleep(3 * time.Second)

	t.Run("all open, one probes, all close", func(t *testing.T) { f.checkOutage(t, s, time.Second) })
	t.Run("flushed", func(t *testing.T) {
		f.checkAlone(t, s, func() { require.NoError(t, rdb.FlushAll(context.Background()).Err()) })
	})
	t.Run("scripts forgotten", func(t *testing.T) {
		require.NoError(t, rdb.ScriptFlush(context.Background()).Err())
		f.checkOutage(t, s, time.Second)
	})
	t.Run("hung", func(t *testing.T) { f.checkAlone(t, s, func() { d.signal(t, syscall.SIGSTOP) }) })
	d.signal(t, syscall.SIGCONT)
	t.Run("killed", func(t *testing.T) { f.checkAlone(t, s, d.kill) })
	d.start(t)
	time.Sleep(12 * time.Second) // by which each has tried to beat
	t.Run("restarted", func(t *testing.T) { f.checkOutage(t, s, 2*time.Second) }) // new connections are made
}

func (f *fleet) checkOutage(t *testing.T, s *server, within time.Duration) {
	begin := s.breakDown(2500 * time.Millisecond)
	opened := f.by(begin.Add(within), "open")
	assert.GreaterOrEqual(t, opened, members*95/100, "are open within %v", within)
	s.attempts.Store(0)
	s.busiest.Store(0)
	time.Sleep(4 * time.Second)
	probes, together := s.attempts.Load(), s.busiest.Load()
	assert.Positive(t, probes)
	assert.LessOrEqual(t, probes, int64(24), "probes in 4 s")
	assert.EqualValues(t, 1, together, "at a time")

	good := s.recover(t)
	time.Sleep(3 * time.Second)
	closed := f.by(good.Add(500*time.Millisecond), "closed", "ready")
	assert.Equal(t, members, closed, "are closed within half a second")
	t.Logf("%d of %d processes open within %v, %d probes in 4 s, at most %d at a time, %d closed within 0.5 s", opened, members, within, probes, together, closed)
	time.Sleep(3 * time.Second)
}

// checkAlone does something to the store in the middle of an outage. Then all are back as soon as they are without it.
func (f *fleet) checkAlone(t *testing.T, s *server, trouble func()) {
	s.breakDown(3 * time.Second)
	trouble()
	time.Sleep(3 * time.Second)
	ended := time.Now()
	s.recover(t)
	time.Sleep(4 * time.Second)
	closed := f.by(ended.Add(alone), "closed", "ready")
	assert.GreaterOrEqual(t, closed, members*95/100, "are closed")
	assert.Equal(t, members, f.in("closed", "ready"))
	t.Logf("%d of %d closed within %v", closed, members, alone)
	time.Sleep(3 * time.Second)
}
