package steadyhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// newUpload makes a request whose body is a file, which each attempt opens anew. http.NewRequest sets GetBody for bytes
// and strings alone: it cannot know how to read anything else twice.
func newUpload(ctx context.Context, url, path string) (*http.Request, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, url, file)
	if err != nil {
		file.Close()
		return nil, err
	}
	request.ContentLength = info.Size() // else it is sent in chunks, which many servers refuse
	request.GetBody = func() (io.ReadCloser, error) { return os.Open(path) }
	return request, nil
}

// An upload from a file can be retried if the request has GetBody, and takes no memory.
func ExampleNewClient_upload() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "report.csv")
	if err := os.WriteFile(path, []byte("a,b\n1,2\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	server := steadyhttptest.NewTransport(steadyhttptest.Reset, steadyhttptest.Status(201))
	client, err := steadyhttp.Wrap(&http.Client{Transport: server}, shortWaits)
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := newUpload(context.Background(), "https://files.example.com/report.csv", path)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	for _, attempt := range server.Attempts() {
		fmt.Printf("%q\n", attempt.Body)
	}
	fmt.Println(response.StatusCode)
	// Output:
	// "a,b\n1,2\n"
	// "a,b\n1,2\n"
	// 201
}
