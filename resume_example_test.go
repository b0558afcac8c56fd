package steadyhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/steadyhttp/steadyhttp"
	"github.com/steadyhttp/steadyhttp/steadyhttptest"
)

// newDownloadClient returns a client for large files.
func newDownloadClient(base *http.Client) (*http.Client, error) {
	return steadyhttp.Wrap(base,
		steadyhttp.WithResume(),
		steadyhttp.WithBodyTimeout(20*time.Second),
	)
}

// download writes a file, under its name once it is whole.
func download(ctx context.Context, client *http.Client, url, path string) (resumes int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Accept-Encoding", "identity") // what is compressed cannot be resumed
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if err := steadyhttp.CheckResponse(response); err != nil {
		return 0, err
	}
	part, err := os.Create(path + ".part")
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(part, response.Body) // goes on where a connection breaks
	if err = errors.Join(err, part.Close()); err != nil {
		return steadyhttp.Resumes(response), err // errors.Is(err, steadyhttp.ErrChanged): begin again
	}
	return steadyhttp.Resumes(response), os.Rename(path+".part", path)
}

// A download goes on where its connection broke.
func ExampleWithResume() {
	content := strings.Repeat("steady ", 3000)
	file := steadyhttptest.NewFile(content)
	server := steadyhttptest.NewServer(file.CutAfter(5000), file.CutAfter(5000), file)
	defer server.Close()
	directory, err := os.MkdirTemp("", "download")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(directory)

	client, err := newDownloadClient(server.Client())
	if err != nil {
		fmt.Println(err)
		return
	}
	path := filepath.Join(directory, "file")
	resumes, err := download(context.Background(), client, server.URL+"/file", path)
	if err != nil {
		fmt.Println(err)
		return
	}
	downloaded, err := os.ReadFile(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("resumed", resumes, "times, whole:", string(downloaded) == content)
	for _, attempt := range server.Attempts() {
		fmt.Printf("Range: %q\n", attempt.Header.Get("Range"))
	}
	// Output:
	// resumed 2 times, whole: true
	// Range: ""
	// Range: "bytes=5000-"
	// Range: "bytes=10000-"
}

// A file that is replaced while it is read is an error that says so, and never a mixture of the two.
func ExampleChangedError() {
	server := steadyhttptest.NewServer(
		steadyhttptest.NewFile("the old content").CutAfter(7),
		steadyhttptest.NewFile("the new content"),
	)
	defer server.Close()
	client, err := newDownloadClient(server.Client())
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	var failed *steadyhttp.ResumeError
	if errors.Is(err, steadyhttp.ErrChanged) && errors.As(err, &failed) {
		fmt.Printf("read %q of %d bytes\n%s\n", content, response.ContentLength, failed.Advice())
	}
	// Output:
	// read "the old" of 15 bytes
	// The resource changed while it was read: read it again from the start.
}
