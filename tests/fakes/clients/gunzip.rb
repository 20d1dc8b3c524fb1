# Reads a URL as any Ruby program does: Net::HTTP asks for gzip and inflates: ruby gunzip.rb URL AUTHORIZATION
require "net/http"
uri = URI(ARGV[0])
request = Net::HTTP::Get.new(uri, "Authorization" => ARGV[1], "Accept-Encoding" => "gzip")
request.decode_content = true
$stdout.binmode
$stdout.write(Net::HTTP.start(uri.host, uri.port) { |http| http.request(request).body })
