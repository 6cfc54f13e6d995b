package driver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"
	s3driver "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"
)

// openS3 serves s3://bucket/prefix with these settings:
//
//	region=eu-central-1       required, unless there is an endpoint
//	endpoint=https://host     of an S3-compatible server
//	forcepathstyle=true       bucket in the path, not in the host name
//	chunksize=10485760        bytes of a part; 10,000 parts are the largest blob
//	storageclass=STANDARD     NONE if the server does not know classes
//	encrypt=true, keyid=..    server-side encryption, with a KMS key
//	redirect=true             send clients to signed addresses
//	redirectendpoint=https:// the endpoint as clients reach it
//
// Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or else from where the AWS SDK looks: shared
// configuration, web identity, instance role.
//
// redirect is off by default, because it only works when every client can reach the endpoint: with an S3 server inside
// the cluster a pull from outside would fail, and which is the case cannot be seen from here.
//
// A bucket should have a lifecycle rule that aborts incomplete multipart uploads after some days: what a crashed
// process left open in S3 is neither listed nor found by anything but Delete with its upload id.
func openS3(ctx context.Context, u *url.URL, query *settings, opt Options) (kind, error) {
	endpoint := query.text("endpoint", "")
	region := query.text("region", "")
	if endpoint != "" && region == "" {
		region = "us-east-1" // what S3-compatible servers call themselves
	}
	if u.Host == "" || region == "" {
		return kind{}, errors.New("want s3://bucket/prefix?region=.. or s3://bucket/prefix?endpoint=..")
	}
	params := s3driver.DriverParameters{
		Bucket:         u.Host,
		RootDirectory:  strings.Trim(u.Path, "/"),
		Region:         region,
		RegionEndpoint: endpoint,
		ForcePathStyle: query.boolean("forcepathstyle", false),
		Encrypt:        query.boolean("encrypt", false),
		KeyID:          query.text("keyid", ""),
		StorageClass:   strings.ToUpper(query.text("storageclass", s3.StorageClassStandard)),
		ObjectACL:      s3.ObjectCannedACLPrivate,
		UserAgent:      opt.UserAgent,
		Secure:         true,
		V4Auth:         true,
	}
	redirect := query.boolean("redirect", false)
	public := query.text("redirectendpoint", endpoint)
	// Our parts are what the driver sends: it must neither cut them nor keep a rest back.
	params.ChunkSize = query.part
	d, err := s3driver.New(ctx, params)
	if err != nil {
		return kind{}, err
	}
	k := kind{StorageDriver: d}
	if redirect {
		k.sign, err = signer(params, public, d.S3BucketKey)
	}
	return k, err
}

// signer signs addresses itself, because distribution's driver signs them for 20 minutes, which is longer than anyone
// should have what has just been taken from them. Nothing is asked of the server; credentials may be renewed.
func signer(params s3driver.DriverParameters, endpoint string, object func(string) string) (func(string, time.Duration) (string, error), error) {
	config := aws.NewConfig().WithRegion(params.Region).WithS3ForcePathStyle(params.ForcePathStyle)
	if endpoint != "" {
		config.WithEndpoint(endpoint)
	}
	sess, err := session.NewSession(config)
	if err != nil {
		return nil, fmt.Errorf("signing of redirects: %w", err)
	}
	client := s3.New(sess)
	return func(path string, ttl time.Duration) (string, error) {
		request, _ := client.GetObjectRequest(&s3.GetObjectInput{
			Bucket: aws.String(params.Bucket),
			Key:    aws.String(object(path)),
		})
		return request.Presign(ttl)
	}, nil
}
