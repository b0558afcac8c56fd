package sdk

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func newOpenAI(client *http.Client, key string) openai.Client {
	return openai.NewClient(
		option.WithHTTPClient(client),
		option.WithMaxRetries(0),
		option.WithAPIKey(key),
	)
}

var question = openai.ChatCompletionNewParams{
	Model:    "a-model",
	Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Are you there?")},
}

const completion = `{"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}}]}`

func TestOpenAI_CompletionSucceedsAfterFailures(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusServiceUnavailable), status(http.StatusInternalServerError), respondJSON(completion))
	client := newOpenAI(server.steadyClient(t), "key")
	ctx, assertStatuses := newReport(t)
	said, err := client.Chat.Completions.New(steadyhttp.Idempotent(ctx), question)
	require.NoError(t, err)
	assert.Equal(t, "Yes.", said.Choices[0].Message.Content)
	assertStatuses(503, 500, 200)
	server.assertSameBodies(t, server.requests()[0].body)
	assert.Contains(t, server.requests()[0].body, "Are you there?")
}

func TestOpenAI_CompletionIsNotRetriedUnlessMarkedIdempotent(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusInternalServerError))
	client := newOpenAI(server.steadyClient(t), "key")
	ctx, assertStatuses := newReport(t)
	_, err := client.Chat.Completions.New(ctx, question)
	var failed *openai.Error
	require.ErrorAs(t, err, &failed, "the SDK decodes the last response")
	assert.Equal(t, http.StatusInternalServerError, failed.StatusCode)
	assertStatuses(500)
}

func TestOpenAI_RateLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusTooManyRequests, "Retry-After", "1"), respondJSON(completion))
	client := newOpenAI(server.steadyClient(t), "key")
	ctx, assertStatuses := newReport(t)
	said, err := client.Chat.Completions.New(ctx, question)
	require.NoError(t, err)
	assert.Equal(t, "Yes.", said.Choices[0].Message.Content)
	assertStatuses(429, 200)
}

func TestOpenAI_StreamArrivesAfterAFailure(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusServiceUnavailable), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, word := range []string{"Yes", ", I", " am."} {
			_, _ = fmt.Fprintf(w, "data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": %q}}]}\n\n", word)
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	})
	client := newOpenAI(server.steadyClient(t), "key")
	ctx, assertStatuses := newReport(t)
	stream := client.Chat.Completions.NewStreaming(steadyhttp.Idempotent(ctx), question)
	var said openai.ChatCompletionAccumulator
	for stream.Next() {
		said.AddChunk(stream.Current())
	}
	require.NoError(t, stream.Err())
	assert.Equal(t, "Yes, I am.", said.Choices[0].Message.Content)
	assertStatuses(503, 200)
}

// openAIHints follows what OpenAI says in milliseconds.
func openAIHints() steadyhttp.Option {
	return steadyhttp.WithHints(steadyhttp.HintMilliseconds)
}

func TestOpenAI_RateLimitInMillisecondsIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusTooManyRequests, "Retry-After", "1", "Retry-After-Ms", "80"), respondJSON(completion))
	client := newOpenAI(server.steadyClient(t, openAIHints()), "key")
	ctx, report := steadyhttp.WithReport(t.Context())
	_, err := client.Chat.Completions.New(ctx, question)
	require.NoError(t, err)
	require.Len(t, report.Attempts, 2)
	assert.GreaterOrEqual(t, report.Attempts[0].Wait, 80*time.Millisecond)
	assert.Less(t, report.Attempts[0].Wait, time.Second, "it need not wait for the whole second of Retry-After")
}

func TestOpenAI_ServerThatSaysNoIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	server := newService(t, status(http.StatusTooManyRequests, "X-Should-Retry", "false", "Retry-After", "1"))
	client := newOpenAI(server.steadyClient(t, openAIHints()), "key")
	ctx, assertStatuses := newReport(t)
	_, err := client.Chat.Completions.New(steadyhttp.Idempotent(ctx), question)
	require.Error(t, err)
	assertStatuses(429)
}
