<?php
/* Plugin Name: Tallycast reactions
 * Description: Live reactions below each post.
 * Requires at least: 6.5
 */

const TALLYCAST_HUB = 'https://hub.example.com';

add_action('wp_enqueue_scripts', function () {
    wp_enqueue_script_module('tallycast', TALLYCAST_HUB . '/client/widget.js', [], null);
});

add_filter('the_content', function ($content) {
    if (!is_singular('post') || !in_the_loop() || !is_main_query()) {
        return $content;
    }
    return $content . '<tally-reactions item="wp:' . get_the_ID() . '" kinds="like,dislike,share"></tally-reactions>';
});
