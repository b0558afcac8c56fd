package integration

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A daemon is a server that runs in the foreground, and in a process group of its own.
type daemon struct {
	command *exec.Cmd
	group   string // a file with the group's number, so that the script run can clean up if the test is killed
	exited  chan struct{}
}

func startProcess(t *testing.T, directory, name string, arguments ...string) *daemon {
	t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(t, err, "%s is not installed; integration/run installs it", name)
	return startCommand(t, directory, exec.Command(path, arguments...))
}

func startCommand(t *testing.T, directory string, command *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{
		command: command,
		group:   filepath.Join(directory, "process-group"),
		exited:  make(chan struct{}),
	}
	d.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM} // if the test is killed
	d.command.Stdout, d.command.Stderr = t.Output(), t.Output()
	require.NoError(t, d.command.Start())
	require.NoError(t, os.WriteFile(d.group, []byte(strconv.Itoa(d.command.Process.Pid)), 0o600))
	go func() {
		_ = d.command.Wait() // how it ends does not matter: it was told to end
		close(d.exited)
	}()
	t.Cleanup(func() { d.stop(t, syscall.SIGTERM) })
	return d
}

func (d *daemon) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, d.command.Process.Signal(signal))
}

const timeLimit = 20 * time.Second

// stop asks the server to end, waits until it has ended, and kills what is left of its process group.
func (d *daemon) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := d.command.Process.Signal(signal); !errors.Is(err, os.ErrProcessDone) {
		require.NoError(t, err)
	}
	select {
	case <-d.exited:
	case <-time.After(timeLimit):
		assert.Fail(t, "it does not stop", "%v after %v", d.command, signal)
	}
	_ = syscall.Kill(-d.command.Process.Pid, syscall.SIGKILL) // usually nothing is left
	_ = os.Remove(d.group)
}

// startServer starts a server and waits until it accepts connections. If it ends instead, because another process has
// the port for a moment, it is started again.
func startServer(t *testing.T, at endpoint, directory, name string, arguments ...string) *daemon {
	t.Helper()
	for deadline := time.Now().Add(timeLimit); time.Now().Before(deadline); {
		d := startProcess(t, directory, name, arguments...)
		if d.waitUntilListening(at) {
			return d
		}
		t.Logf("%v does not listen", d.command)
	}
	require.Fail(t, "it does not listen", "%s at %v", name, at)
	return nil
}

// waitUntilListening waits until the server accepts connections, or reports false if it ends.
func (d *daemon) waitUntilListening(at endpoint) bool {
	for {
		select {
		case <-d.exited:
			return false
		case <-time.After(time.Millisecond):
		}
		if accepts(at.Plain) && accepts(at.Secure) {
			return true
		}
	}
}

func accepts(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// loopback is where the servers of this process listen. Each has an IP address of its own, so that no other server takes
// its port while it is down. None has 127.0.0.1: a client that dials an address there while nobody listens can get the
// dialed port as its own, and then it connects to itself.
var loopback = struct {
	network [2]byte
	last    atomic.Uint32
}{network: [2]byte{byte(1 + rand.N(254)), byte(1 + rand.N(254))}}

// freeAddress returns an address that nobody listens on, with a port that the system picked. No process may be started
// meanwhile, because it would inherit the listener for a moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	host := net.IPv4(127, loopback.network[0], loopback.network[1], byte(loopback.last.Add(1)))
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	listener, err := net.Listen("tcp", net.JoinHostPort(host.String(), "0"))
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
