package sdk

import (
	"fmt"
	"io"
	"net/http"
	"testing"

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

func TestOpenAICompletionSucceedsThoughTheServiceFailsFirst(t *testing.T) {
	t.Parallel()
	at := serve(t, fail(http.StatusServiceUnavailable), fail(http.StatusInternalServerError), answerJSON(completion))
	client := newOpenAI(at.steady(t), "key")
	ctx, assertStatuses := reported(t)
	said, err := client.Chat.Completions.New(steadyhttp.Idempotent(ctx), question)
	require.NoError(t, err)
	assert.Equal(t, "Yes.", said.Choices[0].Message.Content)
	assertStatuses(503, 500, 200)
	at.assertSameBodies(t, at.arrivals()[0].body)
	assert.Contains(t, at.arrivals()[0].body, "Are you there?")
}

func TestOpenAICompletionIsNotPaidForTwiceUnlessTheCallerSaysSo(t *testing.T) {
	t.Parallel()
	at := serve(t, fail(http.StatusInternalServerError))
	client := newOpenAI(at.steady(t), "key")
	ctx, assertStatuses := reported(t)
	_, err := client.Chat.Completions.New(ctx, question)
	var failed *openai.Error
	require.ErrorAs(t, err, &failed, "the SDK decodes the last answer")
	assert.Equal(t, http.StatusInternalServerError, failed.StatusCode)
	assertStatuses(500)
}

func TestOpenAIRateLimitIsWaitedOut(t *testing.T) {
	t.Parallel()
	at := serve(t, fail(http.StatusTooManyRequests, "Retry-After", "1"), answerJSON(completion))
	client := newOpenAI(at.steady(t), "key")
	ctx, assertStatuses := reported(t)
	said, err := client.Chat.Completions.New(ctx, question)
	require.NoError(t, err)
	assert.Equal(t, "Yes.", said.Choices[0].Message.Content)
	assertStatuses(429, 200)
}

func TestOpenAIStreamArrivesThoughTheServiceFailsFirst(t *testing.T) {
	t.Parallel()
	at := serve(t, fail(http.StatusServiceUnavailable), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, word := range []string{"Yes", ", I", " am."} {
			_, _ = fmt.Fprintf(w, "data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": %q}}]}\n\n", word)
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	})
	client := newOpenAI(at.steady(t), "key")
	ctx, assertStatuses := reported(t)
	stream := client.Chat.Completions.NewStreaming(steadyhttp.Idempotent(ctx), question)
	var said openai.ChatCompletionAccumulator
	for stream.Next() {
		said.AddChunk(stream.Current())
	}
	require.NoError(t, stream.Err())
	assert.Equal(t, "Yes, I am.", said.Choices[0].Message.Content)
	assertStatuses(503, 200)
}
