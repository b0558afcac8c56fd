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

func newS3(ctx context.Context, client *http.Client) (*s3.Client, error) {
	settings, err := config.LoadDefaultConfig(ctx,
		config.WithHTTPClient(client),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	)
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(settings), nil
}

// newTestS3 returns one whose credentials come from the environment.
func newTestS3(t *testing.T, server *service, options ...steadyhttp.Option) *s3.Client {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_CA_BUNDLE", "") // else the SDK accepts no client but its own
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	store, err := newS3(t.Context(), server.steadyClient(t, options...))
	require.NoError(t, err)
	return store
}

func TestS3_GetObjectSucceedsAfterFailures(t *testing.T) {
	server := newService(t, status(http.StatusServiceUnavailable), status(http.StatusInternalServerError), respond("image/jpeg", "a cat"))
	ctx, assertStatuses := newReport(t)
	got, err := newTestS3(t, server).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("photos"), Key: aws.String("cat.jpg")})
	require.NoError(t, err)
	content, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	assert.Equal(t, "a cat", string(content))
	assertStatuses(503, 500, 200)
}

func TestS3_ListIsDecodedAfterAFailure(t *testing.T) {
	server := newService(t, status(http.StatusServiceUnavailable), respond("application/xml",
		`<ListBucketResult><Contents><Key>cat.jpg</Key><Size>5</Size></Contents></ListBucketResult>`))
	ctx, assertStatuses := newReport(t)
	got, err := newTestS3(t, server).ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("photos")})
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

func TestS3_PutObjectIsRetriedFromTheReplayBuffer(t *testing.T) {
	server := newService(t, status(http.StatusServiceUnavailable), status(http.StatusInternalServerError), status(http.StatusOK))
	ctx, assertStatuses := newReport(t)
	require.NoError(t, putCat(ctx, newTestS3(t, server, steadyhttp.WithReplayBuffer(8<<20))))
	assertStatuses(503, 500, 200)
	for _, received := range server.requests() {
		assert.Equal(t, "PUT photos.s3.eu-central-1.amazonaws.com/cat.jpg", received.line)
		assert.Contains(t, received.body, "a cat", "the chunks and their checksum")
		assert.Equal(t, server.requests()[0].body, received.body)
	}
}

func TestS3_PutObjectIsNotRetriedWithoutAReplayBuffer(t *testing.T) {
	server := newService(t, status(http.StatusServiceUnavailable), status(http.StatusOK))
	ctx, assertStatuses := newReport(t)
	require.Error(t, putCat(ctx, newTestS3(t, server)))
	assertStatuses(503)
}

func TestS3_UploadIsNotCreatedTwice(t *testing.T) {
	server := newService(t, status(http.StatusInternalServerError))
	ctx, assertStatuses := newReport(t)
	_, err := newTestS3(t, server).CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("photos"), Key: aws.String("cat.jpg")})
	var failed smithy.APIError
	require.ErrorAs(t, err, &failed, "the SDK decodes the last response")
	assertStatuses(500)
}

func TestS3_RetryAfterOfA429IsObeyed(t *testing.T) {
	server := newService(t, status(http.StatusTooManyRequests, "Retry-After", "1"), respond("application/xml",
		`<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>`))
	ctx, assertStatuses := newReport(t)
	got, err := newTestS3(t, server).CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("photos"), Key: aws.String("cat.jpg")})
	require.NoError(t, err)
	assert.Equal(t, "7", aws.ToString(got.UploadId))
	assertStatuses(429, 200)
}
