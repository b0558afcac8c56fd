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
	group   string // a file that names the group, for whoever must clean up after a test that was killed
	exited  chan struct{}
}

func launch(t *testing.T, directory, name string, arguments ...string) *daemon {
	t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(t, err, "%s is not installed; integration/run installs it", name)
	d := &daemon{
		command: exec.Command(path, arguments...),
		group:   filepath.Join(directory, "process-group"),
		exited:  make(chan struct{}),
	}
	d.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM} // should the test be killed
	d.command.Stdout, d.command.Stderr = t.Output(), t.Output()
	require.NoError(t, d.command.Start())
	require.NoError(t, os.WriteFile(d.group, []byte(strconv.Itoa(d.command.Process.Pid)), 0o600))
	go func() {
		_ = d.command.Wait() // how it ended is its own affair, it was told to
		close(d.exited)
	}()
	t.Cleanup(func() { d.stop(t, syscall.SIGTERM) })
	return d
}

func (d *daemon) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, d.command.Process.Signal(signal))
}

const patience = 20 * time.Second

// stop asks the server to end, waits until it has, and ends what is left of its process group.
func (d *daemon) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := d.command.Process.Signal(signal); !errors.Is(err, os.ErrProcessDone) {
		require.NoError(t, err)
	}
	select {
	case <-d.exited:
	case <-time.After(patience):
		assert.Fail(t, "it does not stop", "%v after %v", d.command, signal)
	}
	_ = syscall.Kill(-d.command.Process.Pid, syscall.SIGKILL) // usually there is nobody left
	_ = os.Remove(d.group)
}

// serve launches a server and waits until it accepts connections. If it ends instead, since somebody else on
// the machine has the port for a moment, it is launched again.
func serve(t *testing.T, at endpoint, directory, name string, arguments ...string) *daemon {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		d := launch(t, directory, name, arguments...)
		if d.listens(at) {
			return d
		}
		t.Logf("%v does not listen", d.command)
	}
	require.Fail(t, "it does not listen", "%s at %v", name, at)
	return nil
}

// listens waits until the server accepts connections, or ends.
func (d *daemon) listens(at endpoint) bool {
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

// loopback is where the servers of this process listen: an IP address each, so that no two of them, and nobody
// else on the machine, come by the same port while one of them is down. It is not 127.0.0.1 either, from which
// connections go out: a client that dials it while nobody listens may be given the very port it dials, and so
// find itself.
var loopback = struct {
	network [2]byte
	last    atomic.Uint32
}{network: [2]byte{byte(1 + rand.N(254)), byte(1 + rand.N(254))}}

// freeAddress returns an address that nobody listens on, with a port that the system picked. Meanwhile no
// process is started: it would hold on to the listener for a moment.
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
