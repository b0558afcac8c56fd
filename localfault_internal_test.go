package steadyhttp

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLocalFault_EachNumberIsFoundHoweverDeepAndInALookUpsText(t *testing.T) {
	t.Parallel()
	for _, fault := range slices.Concat(localFaults.exhausted, localFaults.unreachable) {
		inSocket := &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("socket", fault)}
		for _, err := range []error{
			fault, inSocket, fmt.Errorf("wrapped: %w", inSocket), errors.Join(errors.New("?"), inSocket),
			&url.Error{Op: "Get", URL: "/", Err: inSocket},
			&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: inSocket.Error(), Name: "steady.example"}},
			&net.DNSError{Err: fault.Error(), Name: "steady.example"},
		} {
			assert.True(t, isLocalFault(err), "%v", err)
		}
	}
}

func TestLocalFault_OnlyWhatAnEstablishedConnectionCannotMeetProvesThatNothingWasSent(t *testing.T) {
	t.Parallel()
	for _, table := range []faultTable{localFaults, winsockFaults} {
		for _, fault := range table.exhausted {
			assert.Equal(t, localFact|unprocessedFact, table.find(fault), fault)
			assert.Equal(t, localFact|unprocessedFact, table.findText("dial udp: socket: "+fault.Error()), fault)
		}
		for _, fault := range table.unreachable {
			assert.Equal(t, localFact, table.find(fault), fault)
			assert.Equal(t, localFact, table.findText("dial udp: socket: "+fault.Error()), fault)
		}
	}
}

func TestLocalFault_ServersFaultsAreNone(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.ETIMEDOUT, syscall.EPIPE,
		&net.DNSError{Err: "server misbehaving", Name: "steady.example"}, errors.New("too many open files"), nil,
	} {
		assert.False(t, isLocalFault(err), err)
	}
	const refused, reset, unreachableHost, timedOut = syscall.Errno(10061), syscall.Errno(10054), syscall.Errno(10065), syscall.Errno(10060)
	for _, number := range []syscall.Errno{refused, reset, unreachableHost, timedOut} {
		assert.Zero(t, winsockFaults.find(number), int(number))
	}
}

// The Go distribution knows Windows' numbers from Microsoft's headers, and has them in the sources of its own tools.
func TestLocalFault_WinsockNumbersAreThoseOfTheGoDistribution(t *testing.T) {
	t.Parallel()
	numbers := map[string]int{}
	headers, err := os.ReadFile(filepath.Join(goRoot(t), "src/cmd/vendor/golang.org/x/sys/windows/zerrors_windows.go"))
	require.NoError(t, err)
	for _, line := range regexp.MustCompile(`(?m)^\s+((?:WSA|ERROR_)\w+)\s+syscall\.Errno\s+= (\d+)$`).FindAllStringSubmatch(string(headers), -1) {
		numbers[line[1]], err = strconv.Atoi(line[2])
		require.NoError(t, err)
	}
	source, err := os.ReadFile("localfault_winsock.go")
	require.NoError(t, err)
	entries := regexp.MustCompile(`syscall\.Errno\((\d+)\),\s+// (\w+)`).FindAllStringSubmatch(string(source), -1)
	assert.Len(t, entries, len(winsockFaults.exhausted)+len(winsockFaults.unreachable))
	for _, entry := range entries {
		assert.Equal(t, entry[1], strconv.Itoa(numbers[entry[2]]), entry[2])
	}
}

func goRoot(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(root))
}

// Which table counts shows only on the system itself.
func TestLocalFault_EachSystemUsesItsOwnTable(t *testing.T) {
	t.Parallel()
	const winsockNoPorts = syscall.Errno(10048)
	assert.Equal(t, runtime.GOOS == "windows", isLocalFault(winsockNoPorts))
	assert.Equal(t, runtime.GOOS != "windows", isLocalFault(syscall.EADDRINUSE), "invented on Windows, and never seen there")
}

func TestLocalFault_WindowsCompilesWithItsTable(t *testing.T) {
	t.Parallel()
	list := exec.Command("go", "list", "-f", "{{.GoFiles}}", ".")
	list.Env = append(os.Environ(), "GOOS=windows")
	files, err := list.Output()
	require.NoError(t, err)
	assert.Contains(t, string(files), "localfault_windows.go")
	assert.NotContains(t, string(files), "localfault_errno.go")
}
