module github.com/steadyhttp/steadyhttp/integration

go 1.26.0

replace github.com/steadyhttp/steadyhttp => ../

require (
	github.com/hashicorp/go-cleanhttp v0.5.2
	github.com/steadyhttp/steadyhttp v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
