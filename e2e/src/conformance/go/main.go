// Command conformance makes the calls it reads, one line of JSON each, with grpc-go and the contracts' module, and
// prints the outcome of each.
//
// Usage: conformance HOST:PORT
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	// Imported for their effect: the contracts register themselves.
	_ "github.com/qmtl/qmtl/gen/go/qmtl/dagmanager/v1"
	_ "github.com/qmtl/qmtl/gen/go/qmtl/data/v1"
	_ "github.com/qmtl/qmtl/gen/go/qmtl/gateway/v1"
	_ "github.com/qmtl/qmtl/gen/go/qmtl/system/v1"
	_ "github.com/qmtl/qmtl/gen/go/qmtl/world/v1"
)

const (
	callTimeout  = 20 * time.Second
	lineBytesMax = 1 << 20
)

// call is one line of standard input.
type call struct {
	Method   string          `json:"method"`
	Request  json.RawMessage `json:"request"`
	Key      string          `json:"key"`
	IsStream bool            `json:"isStream"`
}

// outcome is one line of standard output.
type outcome struct {
	Status   string            `json:"status"`
	Answer   json.RawMessage   `json:"answer,omitempty"`
	Message  string            `json:"message,omitempty"`
	Reason   *string           `json:"reason,omitempty"`
	Metadata map[string]string `json:"metadata"`
	Fields   []string          `json:"fields"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address string) error {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineBytesMax)
	for lines.Scan() {
		var next call
		if err := json.Unmarshal(lines.Bytes(), &next); err != nil {
			return err
		}
		made, err := take(connection, next)
		if err != nil {
			return err
		}
		text, err := json.Marshal(made)
		if err != nil {
			return err
		}
		fmt.Println(string(text))
	}
	return lines.Err()
}

func take(connection *grpc.ClientConn, next call) (outcome, error) {
	name := protoreflect.FullName(strings.ReplaceAll(next.Method, "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return outcome{}, err
	}
	method := found.(protoreflect.MethodDescriptor)
	request, answer := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	if err := protojson.Unmarshal(next.Request, request); err != nil {
		return outcome{Status: "NOT_SENT", Message: err.Error()}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if next.Key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+next.Key)
	}
	if next.IsStream {
		err = first(ctx, connection, next.Method, request, answer)
	} else {
		err = connection.Invoke(ctx, "/"+next.Method, request, answer)
	}
	if err != nil {
		return refusal(err), nil
	}
	text, err := protojson.Marshal(answer)
	return outcome{Status: "OK", Answer: text}, err
}

// first reads the first message of a stream.
func first(ctx context.Context, connection *grpc.ClientConn, method string, request, answer *dynamicpb.Message) error {
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+method)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(answer)
}

func refusal(err error) outcome {
	refused := status.Convert(err)
	reason := ""
	made := outcome{Status: statusNames[refused.Code()], Reason: &reason, Metadata: map[string]string{}, Fields: []string{}}
	for _, detail := range refused.Details() {
		switch known := detail.(type) {
		case *errdetails.ErrorInfo:
			reason, made.Metadata = known.GetReason(), known.GetMetadata()
		case *errdetails.BadRequest:
			for _, violation := range known.GetFieldViolations() {
				made.Fields = append(made.Fields, violation.GetField())
			}
		}
	}
	return made
}

var statusNames = map[codes.Code]string{
	codes.Canceled:           "CANCELLED",
	codes.Unknown:            "UNKNOWN",
	codes.InvalidArgument:    "INVALID_ARGUMENT",
	codes.DeadlineExceeded:   "DEADLINE_EXCEEDED",
	codes.NotFound:           "NOT_FOUND",
	codes.AlreadyExists:      "ALREADY_EXISTS",
	codes.PermissionDenied:   "PERMISSION_DENIED",
	codes.ResourceExhausted:  "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Aborted:            "ABORTED",
	codes.OutOfRange:         "OUT_OF_RANGE",
	codes.Unimplemented:      "UNIMPLEMENTED",
	codes.Internal:           "INTERNAL",
	codes.Unavailable:        "UNAVAILABLE",
	codes.DataLoss:           "DATA_LOSS",
	codes.Unauthenticated:    "UNAUTHENTICATED",
}
