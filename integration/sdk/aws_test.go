package sdk

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/steadyhttp/steadyhttp"
)

func newStore(ctx context.Context, client *http.Client) (*s3.Client, error) {
	settings, err := config.LoadDefaultConfig(ctx,
		config.WithHTTPClient(client),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	)
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(settings), nil
}

// aStore is one whose credentials come from the environment.
func aStore(t *testing.T, at *service, options ...steadyhttp.Option) *s3.Client {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_CA_BUNDLE", "") // else the SDK refuses every client but its own
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	store, err := newStore(t.Context(), at.steady(t, options...))
	require.NoError(t, err)
	return store
}

func TestS3GetObjectSucceedsThoughTheServiceFailsFirst(t *testing.T) {
	at := serve(t, fail(http.StatusServiceUnavailable), fail(http.StatusInternalServerError), answer("image/jpeg", "a cat"))
	ctx, assertStatuses := reported(t)
	got, err := aStore(t, at).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("cat.jpg")})
	require.NoError(t, err)
	content, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	assert.Equal(t, "a cat", string(content))
	assertStatuses(503, 500, 200)
}

func TestS3ListIsDecodedThoughTheServiceFailsFirst(t *testing.T) {
	at := serve(t, fail(http.StatusServiceUnavailable), answer("application/xml",
		`<ListBucketResult><Contents><Key>cat.jpg</Key><Size>5</Size></Contents></ListBucketResult>`))
	ctx, assertStatuses := reported(t)
	got, err := aStore(t, at).ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("photos")})
	require.NoError(t, err)
	require.Len(t, got.Contents, 1)
	assert.Equal(t, "cat.jpg", aws.ToString(got.Contents[0].Key))
	assert.Equal(t, int64(5), aws.ToInt64(got.Contents[0].Size))
	assertStatuses(503, 200)
}

func putCat(ctx context.Context, store *s3.Client) error {
	_, err := store.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("photos"), Key: aws.String("cat.jpg"), Body: strings.NewReader("a cat"),
	})
	return err
}

func TestS3PutObjectIsSentAgainFromTheReplayBuffer(t *testing.T) {
	at := serve(t, fail(http.StatusServiceUnavailable), fail(http.StatusInternalServerError), fail(http.StatusOK))
	ctx, assertStatuses := reported(t)
	require.NoError(t, putCat(ctx, aStore(t, at, steadyhttp.WithReplayBuffer(8<<20))))
	assertStatuses(503, 500, 200)
	for _, arrived := range at.arrivals() {
		assert.Equal(t, "PUT photos.s3.eu-central-1.amazonaws.com/cat.jpg", arrived.line)
		assert.Contains(t, arrived.body, "a cat", "the chunks and their checksum")
		assert.Equal(t, at.arrivals()[0].body, arrived.body)
	}
}

func TestS3PutObjectWithoutTheReplayBufferIsSentOnce(t *testing.T) {
	at := serve(t, fail(http.StatusServiceUnavailable), fail(http.StatusOK))
	ctx, assertStatuses := reported(t)
	require.Error(t, putCat(ctx, aStore(t, at)))
	assertStatuses(503)
}

func TestS3UploadIsNotBegunTwice(t *testing.T) {
	at := serve(t, fail(http.StatusInternalServerError))
	ctx, assertStatuses := reported(t)
	_, err := aStore(t, at).CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("photos"), Key: aws.String("cat.jpg")})
	var failed smithy.APIError
	require.ErrorAs(t, err, &failed, "the SDK decodes the last answer")
	assertStatuses(500)
}

func TestS3SlowDownWithRetryAfterIsObeyed(t *testing.T) {
	at := serve(t, fail(http.StatusTooManyRequests, "Retry-After", "1"), answer("application/xml",
		`<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>`))
	ctx, assertStatuses := reported(t)
	got, err := aStore(t, at).CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("photos"), Key: aws.String("cat.jpg")})
	require.NoError(t, err)
	assert.Equal(t, "7", aws.ToString(got.UploadId))
	assertStatuses(429, 200)
}
