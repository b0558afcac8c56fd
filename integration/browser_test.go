package integration

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A browser is a headless Chromium with one tab, told what to do over a pair of pipes: by the Chrome DevTools Protocol, in
// which a message is JSON and ends with a zero byte.
type browser struct {
	commands  *os.File
	responses *bufio.Reader
	pipe      *os.File // of the responses
	session   string   // of the tab
	last      int      // ID of a command
}

// running bounds how many browsers run at a time: each has several processes, and other tests measure times meanwhile.
var running = make(chan struct{}, 2)

func startBrowser(t *testing.T) *browser {
	t.Helper()
	running <- struct{}{}
	t.Cleanup(func() { <-running })
	path, err := exec.LookPath("chromium")
	require.NoError(t, err, "chromium is not installed; integration/run installs it")
	theirCommands, commands, err := os.Pipe()
	require.NoError(t, err)
	responses, theirResponses, err := os.Pipe()
	require.NoError(t, err)
	directory, err := os.MkdirTemp("", "chromium") // t.TempDir would fail if a process that was just killed still writes
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = commands.Close()
		_ = responses.Close()
		_ = os.RemoveAll(directory)
	})

	command := exec.Command(path, "--headless", "--remote-debugging-pipe", "--user-data-dir="+directory+"/profile", "--no-first-run", "--log-level=3",
		"--no-sandbox", // it has none when root starts it, as in CI's container
		"--disable-gpu", "--disable-breakpad", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars")
	command.Env = append(os.Environ(), "HOME="+directory)
	command.ExtraFiles = []*os.File{theirCommands, theirResponses} // its descriptors 3 and 4
	startCommand(t, directory, command)
	_ = theirCommands.Close()
	_ = theirResponses.Close()

	b := &browser{commands: commands, responses: bufio.NewReader(responses), pipe: responses}
	b.openTab(t)
	return b
}

func (b *browser) openTab(t *testing.T) {
	t.Helper()
	var tab struct{ TargetID string }
	b.do(t, "Target.createTarget", values{"url": "about:blank"}, &tab)
	var attached struct{ SessionID string }
	b.do(t, "Target.attachToTarget", values{"targetId": tab.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.do(t, "Page.enable", nil, nil)
}

type values map[string]any

// do sends a command and waits for its result; events are passed over.
func (b *browser) do(t *testing.T, method string, parameters values, result any) {
	t.Helper()
	b.last++
	if parameters == nil {
		parameters = values{}
	}
	command := values{"id": b.last, "method": method, "params": parameters}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	message, err := json.Marshal(command)
	require.NoError(t, err)
	_, err = b.commands.Write(append(message, 0))
	require.NoError(t, err)
	require.NoError(t, b.pipe.SetReadDeadline(time.Now().Add(timeLimit)))
	for {
		message, err := b.responses.ReadBytes(0)
		require.NoError(t, err, "%s", method)
		var response struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		require.NoError(t, json.Unmarshal(message[:len(message)-1], &response))
		if response.ID != b.last {
			continue
		}
		require.Nil(t, response.Error, "%s: %s", method, message)
		if result != nil {
			require.NoError(t, json.Unmarshal(response.Result, result))
		}
		return
	}
}

// evaluate runs an expression in the tab, and waits for the promise if it is one.
func evaluate[T any](t *testing.T, b *browser, expression string) (value T) {
	t.Helper()
	var response struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	b.do(t, "Runtime.evaluate", values{"expression": expression, "awaitPromise": true, "returnByValue": true}, &response)
	require.Nil(t, response.ExceptionDetails, "%s", expression)
	if response.Result.Value != nil {
		require.NoError(t, json.Unmarshal(response.Result.Value, &value), "%s", expression)
	}
	return value
}

// open navigates and waits until the page is loaded.
func (b *browser) open(t *testing.T, address string) {
	t.Helper()
	var navigated struct{ ErrorText string }
	b.do(t, "Page.navigate", values{"url": address}, &navigated)
	require.Empty(t, navigated.ErrorText)
	b.waitFor(t, fmt.Sprintf("document.readyState === 'complete' && location.href === %q", address))
}

// waitFor waits until an expression is true, across navigations.
func (b *browser) waitFor(t *testing.T, expression string) {
	t.Helper()
	for deadline := time.Now().Add(timeLimit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if evaluate[bool](t, b, "Boolean("+expression+")") {
			return
		}
	}
	require.Fail(t, "it does not become true", "%s\n%s", expression, evaluate[string](t, b, "document.body.innerText"))
}

// resize makes the tab that of a phone, say.
func (b *browser) resize(t *testing.T, width, height int) {
	t.Helper()
	b.do(t, "Emulation.setDeviceMetricsOverride", values{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
}

// prefer sets the color scheme that the user prefers: light or dark.
func (b *browser) prefer(t *testing.T, scheme string) {
	t.Helper()
	b.do(t, "Emulation.setEmulatedMedia", values{"features": []values{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// screenshot is a PNG.
func (b *browser) screenshot(t *testing.T) []byte {
	t.Helper()
	var taken struct{ Data string }
	b.do(t, "Page.captureScreenshot", values{"format": "png"}, &taken)
	image, err := base64.StdEncoding.DecodeString(taken.Data)
	require.NoError(t, err)
	return image
}
