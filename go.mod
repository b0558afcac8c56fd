module github.com/steadyhttp/steadyhttp

go 1.25

require (
	github.com/cenkalti/backoff/v4 v4.3.0
	github.com/hashicorp/go-cleanhttp v0.5.2
	github.com/sony/gobreaker/v2 v2.4.0
)

require (
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
