// SPDX-License-Identifier: Apache-2.0

// Gets each URL by java.net.http and tells what came, pushed responses included: a line of JSON each.
//
//     java -Djdk.net.hosts.file=HOSTS Pushed.java CA.crt URL...
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

class Pushed {
    static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (FileInputStream in = new FileInputStream(file)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    public static void main(String[] args) throws Exception {
        SSLContext context = trusting(args[0]);
        for (int i = 1; i < args.length; i++) {
            HttpClient client = HttpClient.newBuilder().sslContext(context).build();
            HttpRequest request = HttpRequest.newBuilder(URI.create(args[i])).timeout(Duration.ofSeconds(20)).build();
            ConcurrentMap<HttpRequest, CompletableFuture<HttpResponse<byte[]>>> pushes = new ConcurrentHashMap<>();
            HttpResponse<byte[]> page = client.sendAsync(request, BodyHandlers.ofByteArray(),
                    HttpResponse.PushPromiseHandler.of(promised -> BodyHandlers.ofByteArray(), pushes)).get();
            String pushed = pushes.entrySet().stream()
                    .map(e -> String.format("\"%s %s\":%d", e.getKey().method(), e.getKey().uri(), e.getValue().join().body().length))
                    .collect(Collectors.joining(","));
            System.out.printf("{\"version\":\"%s\",\"status\":%d,\"octets\":%d,\"pushed\":{%s}}%n",
                    page.version(), page.statusCode(), page.body().length, pushed);
        }
        System.exit(0); // the clients' threads would linger
    }
}
