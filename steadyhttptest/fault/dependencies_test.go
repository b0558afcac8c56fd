package fault_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A program must not carry the test machinery and its flags.
func TestFault_LinksNoTestPackageIntoAProgram(t *testing.T) {
	t.Parallel()
	listed, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	packages := strings.Fields(string(listed))
	assert.Contains(t, packages, "net/http")
	for _, path := range packages {
		assert.NotRegexp(t, `^testing$|^testing/|^flag$|httptest$`, path)
	}
}
