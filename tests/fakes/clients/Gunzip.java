import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.zip.GZIPInputStream;

/** Reads a URL as any Java program does, asking for gzip: java Gunzip.java URL AUTHORIZATION */
public class Gunzip {
    public static void main(String[] arguments) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .header("Authorization", arguments[1])
            .header("Accept-Encoding", "gzip")
            .build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofInputStream());
        new GZIPInputStream(answer.body()).transferTo(System.out);
        System.out.flush();
    }
}
