package steadyhttptest_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp/steadyhttptest"
	"github.com/steadyhttp/steadyhttp/steadyhttptest/fault"
)

// The tests of package steadyhttp use the kit, also those inside the package: the kit must not import it.
func TestKit_DependsOnNothingButTheStandardLibrary(t *testing.T) {
	t.Parallel()
	listed, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	packages := strings.Fields(string(listed))
	const kit = "github.com/steadyhttp/steadyhttp/steadyhttptest"
	assert.Contains(t, packages, kit)
	for _, path := range packages {
		assert.True(t, path == kit || strings.HasPrefix(path, kit+"/"), path)
	}
}

func TestKit_HasTheNamesOfPackageFault(t *testing.T) {
	t.Parallel()
	var (
		_ fault.Step      = steadyhttptest.End(t)
		_ fault.Response  = steadyhttptest.Response{}
		_ fault.File      = steadyhttptest.NewFile("")
		_ fault.Func      = steadyhttptest.Func(nil)
		_ fault.Injection = steadyhttptest.Injection{}
		_ *fault.Injector = &steadyhttptest.Injector{}
	)
	assert.Equal(t, fault.Faults(), []steadyhttptest.Fault{
		steadyhttptest.Refused, steadyhttptest.NoSuchHost, steadyhttptest.DialTimeout, steadyhttptest.BadCertificate,
		steadyhttptest.ResetUnread, steadyhttptest.Reset, steadyhttptest.EOF, steadyhttptest.HalfHeader,
		steadyhttptest.HeaderTimeout, steadyhttptest.Hang, steadyhttptest.GoAway, steadyhttptest.RefusedStream,
	})
	assert.Equal(t, fault.FaultHeader, steadyhttptest.FaultHeader)
	assert.Equal(t, fault.BadRetryAfter, steadyhttptest.BadRetryAfter)
	assert.Equal(t, fault.HugeRetryAfter, steadyhttptest.HugeRetryAfter)
}
